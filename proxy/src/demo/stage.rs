//! What the demo starts: two servers and, between them, an interlay, which it operates with this executable's commands.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::connection::Connection;
use super::process::{self, Process, free_ports};
use super::proof::Keys;
use super::{DemoError, wait_until};
use crate::status::Status;

/// The first version of Redis whose DEBUG is off, and that has a switch for it.
const DEBUG_SWITCH_SINCE: u32 = 7;

/// The processes, and the folder of their logs. Dropped, all of it goes, in this order.
pub(super) struct Stage {
    interlay: Process,
    source: Server,
    target: Server,
    _folder: TempDir,
    /// This executable.
    program: PathBuf,
    /// Where the interlay serves its clients.
    listen_port: u16,
    /// `host:port` of its admin port.
    admin: String,
}

/// A `redis-server` that persists nothing and allows DEBUG from this machine.
pub(super) struct Server {
    process: Process,
    pub(super) port: u16,
}

impl Stage {
    /// Starts everything.
    pub(super) fn set() -> Result<Self, DemoError> {
        let has_debug_switch = redis_version()? >= DEBUG_SWITCH_SINCE;
        let program = env::current_exe().map_err(DemoError::at("the path of this executable"))?;
        let folder = tempfile::Builder::new().prefix("interlay-demo-").tempdir().map_err(DemoError::at("a temporary folder"))?;
        let [source, target, listen_port, admin] = free_ports().map_err(DemoError::at("free ports"))?;
        let source = Server::start("source", source, has_debug_switch, folder.path())?;
        let target = Server::start("target", target, has_debug_switch, folder.path())?;
        let admin = format!("127.0.0.1:{admin}");
        let (listen, from, to) = (format!("127.0.0.1:{listen_port}"), source.url(), target.url());
        let args = ["serve", "--listen", &listen, "--admin", &admin, "--source", &from, "--target", &to];
        let interlay = Process::start("interlay", &program, &args, folder.path())?;
        Ok(Self { interlay, source, target, _folder: folder, program, listen_port, admin })
    }

    /// Waits until the interlay is connected to both servers.
    pub(super) async fn ready(&mut self) -> Result<(), DemoError> {
        wait_until("the interlay is connected to both servers", async || {
            self.check()?;
            // Until it listens, it does not answer.
            let status = self.status().await.ok();
            Ok(status.is_some_and(|status| status.source.connected && status.target.is_some_and(|target| target.connected)))
        })
        .await
    }

    /// # Errors
    /// [`DemoError::Ended`] if one of the processes does not run any more.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        [&mut self.source.process, &mut self.target.process, &mut self.interlay].into_iter().try_for_each(Process::check)
    }

    /// Source and target.
    pub(super) fn servers(&self) -> (&Server, &Server) {
        (&self.source, &self.target)
    }

    /// Where the interlay serves its clients.
    pub(super) fn listen_port(&self) -> u16 {
        self.listen_port
    }

    /// What the processes have logged, for when something went wrong.
    pub(super) fn logs(&self) -> String {
        [&self.source.process, &self.target.process, &self.interlay].map(Process::log).concat()
    }

    /// Whether no more than so many keys of either server are going to expire.
    pub(super) async fn has_only_expiries(&self, expiring: u64) -> Result<bool, DemoError> {
        let only = |keys: &Keys| keys.values().map(|count| count.expires).sum::<u64>() <= expiring;
        Ok(only(&self.source.keys().await?) && only(&self.target.keys().await?))
    }

    /// How the interlay is doing.
    pub(super) async fn status(&self) -> Result<Status, DemoError> {
        let json = self.operate(&["status", "--json"]).await?;
        serde_json::from_str(&json).map_err(|error| DemoError::Operator { command: "status".into(), complaint: error.to_string() })
    }

    /// Runs a command of this executable against the interlay, as its operator would. Gives what it says.
    pub(super) async fn operate(&self, args: &[&str]) -> Result<String, DemoError> {
        let mut command = process::command(&self.program);
        command.args(args).args(["--admin", &self.admin]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.map_err(Into::into).flatten();
        let output = output.map_err(DemoError::at("a command of interlay"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(DemoError::Operator { command: args.join(" "), complaint })
    }

    /// What a person can do with it.
    pub(super) fn to_try(&self) -> String {
        let Self { source, target, listen_port, admin, program, .. } = self;
        let program = program.display();
        format!(
            "\nEverything is left running until Ctrl-C. In another terminal:\n\
             \x20 redis-cli -p {listen_port} SET greeting hello       # through the interlay\n\
             \x20 redis-cli -p {} GET greeting             # the source is let go, and does not have it\n\
             \x20 redis-cli -p {} GET greeting             # the target has it\n\
             \x20 {program} status --admin {admin}\n\
             \x20 {program} events --admin {admin}\n\
             \x20 {program} check --admin {admin}\n\
             \x20 curl http://{admin}/metrics",
            source.port, target.port,
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "source    {}", self.source.url())?;
        writeln!(f, "target    {}", self.target.url())?;
        write!(f, "interlay  redis://127.0.0.1:{}, admin port http://{}", self.listen_port, self.admin)
    }
}

impl Server {
    fn start(name: &'static str, port: u16, has_debug_switch: bool, folder: &Path) -> Result<Self, DemoError> {
        let (port_arg, folder_arg) = (port.to_string(), folder.display().to_string());
        let mut args = vec!["--bind", "127.0.0.1", "--port", &port_arg, "--save", "", "--appendonly", "no", "--dir", &folder_arg];
        if has_debug_switch {
            args.extend(["--enable-debug-command", "local"]);
        }
        Ok(Self { process: Process::start(name, Path::new("redis-server"), &args, folder)?, port })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many keys there are, by database.
    pub(super) async fn keys(&self) -> Result<Keys, DemoError> {
        Ok(super::proof::keys(&self.ask("INFO keyspace").await?))
    }

    /// What the server itself answers, as text.
    pub(super) async fn ask(&self, request: &str) -> Result<String, DemoError> {
        let answered = async { Connection::to(self.port).await?.call(request).await };
        answered.await.map_err(DemoError::at("a server"))
    }
}

/// The major version of the `redis-server` on the path, by what it says of itself: `... v=7.0.15 ...`. 0 if it does not say.
fn redis_version() -> Result<u32, DemoError> {
    let said = Command::new("redis-server").arg("--version").output().map_err(DemoError::NoRedis)?;
    let said = String::from_utf8_lossy(&said.stdout);
    let version = said.split("v=").nth(1).and_then(|version| version.split('.').next());
    Ok(version.and_then(|major| major.parse().ok()).unwrap_or_default())
}

//! One contender before Redis servers of its own, ready for load.
//!
//! Every contender keeps its servers for the whole run, so a cell of one never disturbs the keys of another. They
//! are filled through the contender: nothing is written around a proxy that may be watching for exactly that.
//! Everything started here ends when the [`Setup`] is dropped.

use crate::client::Client;
use crate::contender::{Contender, Proxy};
use crate::error::{BenchError, Result, Step};
use crate::load::Test;
use crate::process::{POLL, Process, free_port};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time for a program to accept its first request.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Servers whose data stayed the same for this long have received all there was to mirror.
const QUIET: Duration = Duration::from_millis(300);

/// Time for a mirror to catch up after a cell.
const QUIET_LIMIT: Duration = Duration::from_secs(60);

/// A contender that answers requests on [`Setup::port`].
#[derive(Debug)]
pub struct Setup {
    /// The row it was started from.
    pub contender: &'static Contender,
    /// Where the load goes, on 127.0.0.1.
    pub port: u16,
    proxy: Option<Process>,
    servers: Vec<RedisServer>,
}

impl Setup {
    /// Starts servers and proxy, with files in the new directory `<run_dir>/<name>`, and sees a write arrive on
    /// every server.
    ///
    /// # Errors
    /// [`BenchError::NotInstalled`] if a program is missing; any other if it does not work.
    pub fn start(contender: &'static Contender, run_dir: &Path) -> Result<Self> {
        let dir = run_dir.join(contender.name);
        fs::create_dir(&dir).step(format!("create {}", dir.display()))?;
        let program = contender.proxy.as_ref().map(|proxy| Ok((proxy, find(proxy)?))).transpose()?;

        let sides: &[_] = if contender.mirrors { &["source", "target"] } else { &["source"] };
        let mut servers: Vec<_> = sides.iter().map(|side| RedisServer::start(side, &dir)).collect::<Result<_>>()?;
        let mut port = servers.first().map_or(0, |source| source.port);
        let mut proxy = None;
        if let Some((row, program)) = program {
            let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
            port = free_port()?;
            let command = proxy_command(row, &program, &dir, port, &ports)?;
            let process = proxy.insert(Process::spawn(contender.name, &command, dir.join("proxy.log"))?);
            process.wait_until(START_LIMIT, || probe(port, &mut servers))?;
        }
        Ok(Self { contender, port, proxy, servers })
    }

    /// Process id of the proxy, if there is one.
    #[must_use]
    pub fn proxy_pid(&self) -> Option<u32> {
        self.proxy.as_ref().map(Process::pid)
    }

    /// Waits until the data of all servers has stopped changing.
    ///
    /// # Errors
    /// [`BenchError::Process`] if it does not within a minute.
    pub fn wait_until_quiet(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut seen = self.changes()?;
        let mut seen_at = Instant::now();
        while seen_at.elapsed() < QUIET {
            sleep(POLL);
            let now = self.changes()?;
            if now != seen {
                (seen, seen_at) = (now, Instant::now());
            }
            if start.elapsed() > QUIET_LIMIT {
                let problem = format!("still writes {} s after the load", QUIET_LIMIT.as_secs());
                return Err(BenchError::Process { name: self.contender.name.to_owned(), problem, log: String::new() });
            }
        }
        Ok(())
    }

    /// Requests of the kind `test` that the source has executed so far: writes, or reads that found their key.
    ///
    /// # Errors
    /// Any failure to ask the server.
    pub fn executed(&mut self, test: Test) -> Result<u64> {
        self.servers.first_mut().map_or(Ok(0), |source| match test {
            Test::Set => source.changes(),
            Test::Get => source.count("stats", "keyspace_hits:"),
        })
    }

    /// Whether source and target hold the same data, by `DEBUG DIGEST`; `None` without a target.
    ///
    /// # Errors
    /// Any failure to ask a server.
    pub fn digests_equal(&mut self) -> Result<Option<bool>> {
        let [source, target] = self.servers.as_mut_slice() else { return Ok(None) };
        let digest = ["DEBUG", "DIGEST"];
        Ok(Some(source.client.ask_text(&digest)? == target.client.ask_text(&digest)?))
    }

    /// The target's own connection for questions; `None` without a target.
    pub fn target(&mut self) -> Option<&mut Client> {
        self.servers.get_mut(1).map(|server| &mut server.client)
    }

    fn changes(&mut self) -> Result<Vec<u64>> {
        self.servers.iter_mut().map(RedisServer::changes).collect()
    }
}

/// The program of `proxy`.
///
/// # Errors
/// [`BenchError::NotInstalled`] if it is nowhere.
pub fn find(proxy: &Proxy) -> Result<PathBuf> {
    proxy.find().ok_or_else(|| BenchError::NotInstalled { program: proxy.program, remedy: proxy.remedy() })
}

/// Ready means: a write is accepted, and every server has seen one.
fn probe(port: u16, servers: &mut [RedisServer]) -> Result<()> {
    Client::connect(port)?.ask(&[b"SET", b"probe", b"1"])?;
    for server in servers {
        if server.changes()? == 0 {
            return Err(BenchError::Io { what: "see a write on every server".to_owned(), cause: io::ErrorKind::NotFound.into() });
        }
    }
    Ok(())
}

fn proxy_command(row: &Proxy, program: &Path, dir: &Path, listen: u16, servers: &[u16]) -> Result<Command> {
    let config = row.config.map(|(name, text)| (dir.join(name), text));
    let config_path = config.as_ref().map_or_else(String::new, |(path, _)| path.display().to_string());
    let mut names = vec![("@LISTEN@", listen.to_string()), ("@ADMIN@", free_port()?.to_string()), ("@CONFIG@", config_path)];
    names.extend(["@SOURCE@", "@TARGET@"].into_iter().zip(servers.iter().map(u16::to_string)));
    let fill_in = |text: &str| names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));

    if let Some((path, text)) = &config {
        fs::write(path, fill_in(text)).step(format!("write {}", path.display()))?;
    }
    let mut command = Command::new(program);
    command.args(row.args.iter().copied().map(fill_in)).current_dir(dir);
    Ok(command)
}

/// A redis-server without persistence, and a connection for questions to it.
#[derive(Debug)]
struct RedisServer {
    port: u16,
    client: Client,
    /// Held for its `Drop`.
    _process: Process,
}

impl RedisServer {
    fn start(side: &str, dir: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.args(["--enable-debug-command", "local"]);
        command.current_dir(dir);
        let mut process = Process::spawn(side, &command, dir.join(format!("{side}.log")))?;
        let client = process.wait_until(START_LIMIT, || {
            let mut client = Client::connect(port)?;
            client.ask(&[b"PING"])?;
            Ok(client)
        })?;
        Ok(Self { port, client, _process: process })
    }

    /// Changes made to the data so far: unlike a count of one command it sees whatever form a mirror writes in.
    fn changes(&mut self) -> Result<u64> {
        self.count("persistence", "rdb_changes_since_last_save:")
    }

    fn count(&mut self, section: &str, field: &str) -> Result<u64> {
        let info = self.client.ask_text(&["INFO", section])?;
        let line = info.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| BenchError::Reply { command: "INFO".to_owned(), reply: info.chars().take(80).collect() })
    }
}

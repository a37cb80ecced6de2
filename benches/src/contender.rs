//! The table of what is compared.
//!
//! A row says how a contender is started; `@NAME@` in its arguments and config stands for what [`crate::setup`]
//! knows: the ports `LISTEN`, `ADMIN`, `SOURCE` and `TARGET`, and the path `CONFIG`. To add a peer, add a row.
//!
//! Every contender has one thread for its traffic: Interlay and twemproxy by design, HAProxy and Envoy as told here.

use std::env;
use std::path::{Path, PathBuf};

/// One row: a way from the load to a Redis server.
#[derive(Debug)]
pub struct Contender {
    /// Name in arguments and reports.
    pub name: &'static str,
    /// What it does with a request, and with how many threads.
    pub summary: &'static str,
    /// Whether writes also go to a second server.
    pub mirrors: bool,
    /// What runs between load and server; `None` is the load on the server itself.
    pub proxy: Option<Proxy>,
}

/// How a proxy is started.
#[derive(Debug)]
pub struct Proxy {
    /// File name of its program; `<PROGRAM>_BIN` in the environment overrides where it is found.
    pub program: &'static str,
    /// Whether this workspace builds it. Then only the release build will do, and `PATH` is not looked at.
    pub built_here: bool,
    /// The argument that makes it print its version.
    pub version: &'static str,
    /// Name and content of the file `@CONFIG@`; Envoy goes by the extension.
    pub config: Option<(&'static str, &'static str)>,
    /// Arguments.
    pub args: &'static [&'static str],
}

/// Everything that is compared, in the order of the reports.
pub const CONTENDERS: &[Contender] = &[
    Contender { name: "direct", summary: "no proxy: the load on redis-server itself", mirrors: false, proxy: None },
    Contender {
        name: "interlay-passthrough",
        summary: "Interlay with a source only; one data-plane thread",
        mirrors: false,
        proxy: Some(interlay(&[
            "serve",
            "--listen",
            "127.0.0.1:@LISTEN@",
            "--admin",
            "127.0.0.1:@ADMIN@",
            "--source",
            "redis://127.0.0.1:@SOURCE@",
            "--policy",
            "source-authoritative",
        ])),
    },
    Contender {
        name: "interlay-mirror",
        summary: "Interlay mirroring writes, source-authoritative; one data-plane thread",
        mirrors: true,
        proxy: Some(interlay(&[
            "serve",
            "--listen",
            "127.0.0.1:@LISTEN@",
            "--admin",
            "127.0.0.1:@ADMIN@",
            "--source",
            "redis://127.0.0.1:@SOURCE@",
            "--target",
            "redis://127.0.0.1:@TARGET@",
            "--policy",
            "source-authoritative",
        ])),
    },
    Contender {
        name: "twemproxy",
        summary: "twemproxy with a pool of one server; one thread",
        mirrors: false,
        proxy: Some(Proxy {
            program: "nutcracker",
            built_here: false,
            version: "--version",
            config: Some(("nutcracker.yml", include_str!("../peers/nutcracker.yml"))),
            args: &[
                "--conf-file=@CONFIG@",
                "--stats-addr=127.0.0.1",
                "--stats-port=@ADMIN@",
                "--pid-file=@CONFIG@.pid",
                "--output=/dev/stderr",
            ],
        }),
    },
    Contender {
        name: "haproxy-tcp",
        summary: "HAProxy copying bytes (mode tcp), knowing nothing of Redis; nbthread 1",
        mirrors: false,
        proxy: Some(Proxy {
            program: "haproxy",
            built_here: false,
            version: "-v",
            config: Some(("haproxy.cfg", include_str!("../peers/haproxy.cfg"))),
            args: &["-db", "-f", "@CONFIG@"],
        }),
    },
    Contender {
        name: "envoy-mirror",
        summary: "Envoy redis_proxy, request_mirror_policy without reads; --concurrency 1",
        mirrors: true,
        proxy: Some(Proxy {
            program: "envoy",
            built_here: false,
            version: "--version",
            config: Some(("envoy.yaml", include_str!("../peers/envoy.yaml"))),
            args: &["-c", "@CONFIG@", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"],
        }),
    },
];

const fn interlay(args: &'static [&'static str]) -> Proxy {
    Proxy { program: "interlay", built_here: true, version: "--version", config: None, args }
}

impl Proxy {
    /// How to get the program.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        if self.built_here { "cargo build --release -p interlay" } else { "benches/install-peers.sh" }
    }

    /// Where the program is: `<PROGRAM>_BIN`, else the release build, or else `PATH` and then what
    /// `benches/install-peers.sh` has put under the target directory.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        if let Some(path) = env::var_os(format!("{}_BIN", self.program.to_uppercase())) {
            return Some(PathBuf::from(path)).filter(|path| path.is_file());
        }
        let target = target_dir();
        let dirs: Vec<PathBuf> = if self.built_here {
            vec![target.join("release")]
        } else {
            // Daemons live in sbin, which the PATH of an ordinary user often lacks.
            let path = env::var_os("PATH").unwrap_or_default();
            let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
            env::split_paths(&path).chain(system).chain([target.join("bench/peers")]).collect()
        };
        dirs.into_iter().map(|dir| dir.join(self.program)).find(|path| path.is_file())
    }
}

/// Cargo's target directory: this program is `<target>/<profile>/<name>`.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_direct_comes_first() {
        let names: HashSet<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
        assert_eq!(names.len(), CONTENDERS.len());
        assert_eq!(CONTENDERS[0].name, "direct");
    }

    #[test]
    fn every_proxy_is_told_its_ports_and_a_mirror_both_servers() {
        for contender in CONTENDERS {
            let Some(proxy) = &contender.proxy else { continue };
            let told = format!("{}{}", proxy.config.unwrap_or_default().1, proxy.args.join(" "));
            assert!(told.contains("127.0.0.1:@LISTEN@") || told.contains("127.0.0.1, port_value: @LISTEN@"));
            assert!(told.contains("@SOURCE@"), "{}", contender.name);
            assert_eq!(told.contains("@TARGET@"), contender.mirrors, "{}", contender.name);
        }
    }
}

//! The configuration: one table of keys, four places to set them.
//!
//! In: flags, `INTERLAY_*` environment and a TOML file, the earlier winning, then the table's defaults. Out: a [`Config`],
//! or *every* [`Problem`] at once. Invariant: a [`Config`] is valid, files read and TLS built; nothing checks it again.
//! It is read once, at the start; what can change later changes through the admin port.

mod form;
mod keys;
mod raw;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlay_routing::{BySide, Policy, Side};
use rustls::ServerConfig;

pub(crate) use self::form::LogFormat;
pub(crate) use self::keys::{Limits, Logging};
pub(crate) use self::raw::{Flags, Problem};

use self::keys::{TlsFiles, Wiring};
use self::raw::Raw;
use crate::endpoint::Endpoint;
use crate::tls::{self, SideTls};

/// Everything that `interlay serve` runs by.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where clients are served. Port 0 lets the system choose.
    pub(crate) listen: SocketAddr,
    /// Where the admin port is served: a loopback address. Port 0 lets the system choose.
    pub(crate) admin: SocketAddr,
    /// The server the data moves away from.
    pub(crate) source: Endpoint,
    /// The server the data moves to: another one than `source`. Without it nothing is mirrored.
    pub(crate) target: Option<Endpoint>,
    /// The policy of the first write. One that relies on the target comes with a target.
    pub(crate) policy: Policy,
    /// Where it is kept which keys may differ.
    pub(crate) state_dir: Option<PathBuf>,
    /// Whether writes around Interlay are noticed.
    pub(crate) watch: bool,
    /// The bound of everything that could grow or wait.
    pub(crate) limits: Limits,
    /// Who is spoken to with TLS, and how.
    pub(crate) tls: Tls,
    /// How log lines look, and which there are.
    pub(crate) logging: Logging,
}

/// Who is spoken to with TLS, and how.
#[derive(Debug)]
pub(crate) struct Tls {
    /// Clients, if `tls_cert` is given.
    pub(crate) listener: Option<Arc<ServerConfig>>,
    /// Each side whose URL is `rediss://`.
    pub(crate) sides: BySide<Option<SideTls>>,
}

/// Every reason why there is no [`Config`], one a line.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Config {
    /// Reads the flags, the environment through `env`, and `file` if there is one.
    ///
    /// Blocks: it resolves names and reads files.
    ///
    /// # Errors
    /// Every problem that does not follow from another one.
    pub(crate) fn load(flags: Flags, env: impl Fn(&str) -> Option<OsString>, file: Option<&Path>) -> Result<Self, Problems> {
        let mut raw = Raw::gather(flags, env, file);
        // Each group is read to its end, whatever is wrong with the others.
        let wiring = Wiring::read(&mut raw);
        let files = TlsFiles::read(&mut raw);
        let limits = Limits::read(&mut raw);
        let logging = Logging::read(&mut raw);
        if let Some(limits) = &limits {
            check_limits(limits, &mut raw);
        }
        let tls = wiring.as_ref().zip(files).map(|(wiring, files)| {
            check_wiring(wiring, &mut raw);
            build_tls(wiring, files, &mut raw)
        });
        match (raw.finish(), wiring, limits, tls, logging) {
            (problems, Some(wiring), Some(limits), Some(tls), Some(logging)) if problems.is_empty() => Ok(Self {
                listen: wiring.listen,
                admin: wiring.admin,
                source: wiring.source,
                target: wiring.target,
                policy: wiring.policy,
                state_dir: wiring.state_dir,
                watch: wiring.watch,
                limits,
                tls,
                logging,
            }),
            (problems, ..) => Err(Problems(problems)),
        }
    }
}

fn check_wiring(wiring: &Wiring, raw: &mut Raw) {
    let (source, target) = (&wiring.source, wiring.target.as_ref());
    if target.is_some_and(|target| (&target.host, target.port) == (&source.host, source.port)) {
        raw.refuse("target", "is the source: the target has to be another server");
    }
    if target.is_none() && matches!(wiring.policy, Policy::TargetAuthoritative | Policy::BothRequired) {
        raw.refuse("policy", "relies on a target, and `target` is not set");
    }
    if target.is_some_and(|target| target.db != 0 && target.db != source.db) {
        raw.refuse("target", "names another database than the source: databases keep their numbers");
    }
    if wiring.target_read_percent > 0 {
        raw.refuse("target_read_percent", "nothing has proved the target in sync; start with 0 and shift reads with `interlay traffic`");
    }
}

fn check_limits(limits: &Limits, raw: &mut Raw) {
    if limits.client_output_pause_bytes >= limits.client_output_bytes_max {
        raw.refuse("client_output_pause_bytes", "has to be less than `client_output_bytes_max`, which closes the client");
    }
}

fn build_tls(wiring: &Wiring, files: TlsFiles, raw: &mut Raw) -> Tls {
    let listener = match (files.tls_cert, files.tls_key) {
        (Some(chain), Some(key)) => {
            let built = tls::listener(chain, key, files.tls_client_ca);
            built.map_err(|error| raw.refuse("tls_cert", &format!("cannot be used: {error}"))).ok()
        }
        (None, None) => {
            if files.tls_client_ca.is_some() {
                raw.refuse("tls_client_ca", "checks clients only together with `tls_cert` and `tls_key`");
            }
            None
        }
        (Some(_), None) => {
            raw.refuse("tls_key", "has to be given together with `tls_cert`");
            None
        }
        (None, Some(_)) => {
            raw.refuse("tls_cert", "has to be given together with `tls_key`");
            None
        }
    };
    let sides = [(Side::Source, Some(&wiring.source), files.source_ca), (Side::Target, wiring.target.as_ref(), files.target_ca)];
    let mut tls = Tls { listener, sides: BySide::default() };
    for (side, endpoint, ca) in sides {
        let ca_key = match side {
            Side::Source => "source_ca",
            Side::Target => "target_ca",
        };
        tls.sides[side] = match (endpoint.filter(|endpoint| endpoint.tls), ca) {
            (Some(endpoint), Some(ca)) => tls::side(ca, endpoint).map_err(|error| raw.refuse(ca_key, &error.to_string())).ok(),
            (Some(_), None) => {
                raw.refuse(ca_key, "has to name the CA that a rediss:// server is trusted by (for a public one, the system's bundle)");
                None
            }
            (None, Some(_)) => {
                raw.refuse(ca_key, "has no effect: the side's URL is not rediss://");
                None
            }
            (None, None) => None,
        };
    }
    tls
}

#[cfg(test)]
mod tests;

//! The table of keys. One row gives a key its name in the TOML file, its flag (`--bulk-bytes-max`), its environment
//! variable (`INTERLAY_BULK_BYTES_MAX`), its form with unit and range, its default, its help, and its field.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use interlay_routing::{OnLag, Policy};
use rustls::pki_types::PrivateKeyDer;
use tracing::Level;

use super::form::{Address, Bytes, CertificateFile, Count, Folder, Form, GIB, KIB, KeyFile, LEVELS, LogFormat};
use super::form::{Loopback, MIB, Millis, MillisOrNever, OneOf, Optional, SWITCH, Url};
use super::raw::Raw;
use crate::endpoint::Endpoint;
use crate::tls::Certificates;

/// One row of the table, without its type.
pub(super) struct Key {
    /// The name in the TOML file.
    pub(super) name: &'static str,
    /// What it does, for `--help`.
    pub(super) help: &'static str,
    /// Its form in words.
    pub(super) expected: String,
    /// What holds if it is set nowhere; empty for a key without a default.
    pub(super) default: &'static str,
}

impl Key {
    /// The flag, without its dashes.
    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The environment variable.
    pub(super) fn env(&self) -> String {
        format!("INTERLAY_{}", self.name.to_ascii_uppercase())
    }
}

macro_rules! keys {
    ($(
        $(#[$about:meta])*
        $visibility:vis struct $group:ident {
            $($field:ident: $type:ty = $key:literal, $form:expr, $default:literal, $help:literal;)*
        }
    )*) => {
        /// Every row of the table, in its order.
        pub(super) fn keys() -> Vec<Key> {
            vec![$($(Key { name: $key, help: $help, expected: $form.expected(), default: $default },)*)*]
        }

        $(
            $(#[$about])*
            #[derive(Debug)]
            $visibility struct $group {
                $(#[doc = $help] $visibility $field: $type,)*
            }

            impl $group {
                /// Reads every key of the group; none if one of them is wrong, which `raw` then holds as a problem.
                pub(super) fn read(raw: &mut Raw) -> Option<Self> {
                    $(let $field = raw.read($key, &$form, $default);)*
                    Some(Self { $($field: $field?,)* })
                }
            }
        )*
    };
}

keys! {
    /// What is joined to what.
    pub(super) struct Wiring {
        listen: SocketAddr = "listen", Address, "127.0.0.1:6380",
            "Address on which clients are served.";
        admin: SocketAddr = "admin", Loopback, "127.0.0.1:6381",
            "Address of the admin port: /metrics, /healthz, /readyz and the API behind the other commands.";
        source: Endpoint = "source", Url, "",
            "The server that the data moves away from. A password is safer in the environment or the file than in a flag.";
        target: Option<Endpoint> = "target", Optional(Url), "",
            "The server that the data moves to. Without it nothing is mirrored.";
        policy: Policy = "policy", OneOf(&Policy::ALL), "source-authoritative",
            "Whose reply clients get for a write, and what a failure on the other side means. Changes live with `interlay policy`.";
        target_read_percent: u8 = "target_read_percent", Count(0..=100), "0",
            "Share of the reads that goes to the target; only 0 at the start. Changes live with `interlay traffic`.";
        state_dir: Option<PathBuf> = "state_dir", Optional(Folder), "",
            "Folder in which it is kept which keys may differ, so that an end by force loses nothing. Without it, nothing is kept.";
        watch: bool = "watch", OneOf(SWITCH), "false",
            "Whether keys that somebody writes on the authority around Interlay are noticed and copied, as far as the server reports them.";
    }

    /// The PEM files, read.
    pub(super) struct TlsFiles {
        tls_cert: Option<Certificates> = "tls_cert", Optional(CertificateFile), "",
            "The certificate chain that clients are shown, leaf first. With it, clients have to speak TLS.";
        tls_key: Option<PrivateKeyDer<'static>> = "tls_key", Optional(KeyFile), "",
            "The private key of `tls_cert`.";
        tls_client_ca: Option<Certificates> = "tls_client_ca", Optional(CertificateFile), "",
            "The CA that has to have signed a client's own certificate. Without it, clients need none.";
        source_ca: Option<Certificates> = "source_ca", Optional(CertificateFile), "",
            "The CA of a rediss:// source.";
        target_ca: Option<Certificates> = "target_ca", Optional(CertificateFile), "",
            "The CA of a rediss:// target.";
    }

    /// The bound of everything that could grow or wait. Redis's own default is the default wherever Redis has one, so
    /// that the interlay refuses nothing that the server takes.
    pub(crate) struct Limits {
        max_clients: usize = "max_clients", Count(1..=1_000_000), "10000",
            "Clients at once; one more gets Redis's error and is closed.";
        bulk_bytes_max: usize = "bulk_bytes_max", Bytes(KIB..=512 * MIB), "512MiB",
            "Bytes of one argument of a request; a longer one gets Redis's error and its client is closed.";
        client_output_bytes_max: usize = "client_output_bytes_max", Bytes(64 * KIB..=64 * GIB), "1GiB",
            "Bytes of replies that wait for one client to read them; past it the client is closed.";
        client_output_pause_bytes: usize = "client_output_pause_bytes", Bytes(KIB..=GIB), "1MiB",
            "Bytes of replies that wait for one client, above which no more requests are read from it.";
        authority_backlog_bytes_max: usize = "authority_backlog_bytes_max", Bytes(64 * KIB..=64 * GIB), "64MiB",
            "Bytes of requests that the authority has not answered, above which no more are read from any client.";
        effect_queue_bytes_max: usize = "effect_queue_bytes_max", Bytes(64 * KIB..=64 * GIB), "256MiB",
            "Bytes of effects that the secondary has not answered; past it `on_lag` holds.";
        on_lag: OnLag = "on_lag", OneOf(&OnLag::ALL), "fold",
            "While the secondary is too slow: fold lets effects past the bound become dirty keys, throttle lets clients wait.";
        repair_bytes_max: usize = "repair_bytes_max", Bytes(KIB..=64 * GIB), "16MiB",
            "Bytes of the values that are being copied at once, 2MiB at most under the automatic limit; a larger one is copied alone.";
        repair_chunk_from_bytes: usize = "repair_chunk_from_bytes", Bytes(KIB..=64 * GIB), "4MiB",
            "Bytes of a value from which on it is copied in pieces, none of them larger than that or 1MiB.";
        deadlines_bytes_max: usize = "deadlines_bytes_max", Bytes(KIB..=64 * GIB), "16MiB",
            "Bytes for knowing which keys are about to expire; past it more keys are copied than need be.";
        dirty_keys_max: usize = "dirty_keys_max", Count(1..=1_000_000_000), "1000000",
            "Dirty keys known by name; past it they fold into hash buckets.";
        dirty_bytes_max: usize = "dirty_bytes_max", Bytes(KIB..=64 * GIB), "128MiB",
            "Bytes of the names of dirty keys; past it they fold into hash buckets.";
        effect_timeout: Option<Duration> = "effect_timeout_ms", MillisOrNever(1..=3_600_000), "5000",
            "Time in which the secondary has to answer an effect; past it its lane counts as lost and is connected again.";
        connect_timeout: Duration = "connect_timeout_ms", Millis(1..=60_000), "2000",
            "Time in which a lane has to be connected, TLS and handshake included.";
        reconnect_backoff_max: Duration = "reconnect_backoff_max_ms", Millis(1..=60_000), "1000",
            "Longest wait between two attempts to connect a lane.";
        max_pause: Duration = "max_pause_ms", Millis(1..=10_000), "1000",
            "Longest time for which a change of authority may hold requests back; a longer one is undone and refused.";
        shutdown_timeout: Duration = "shutdown_timeout_ms", Millis(1..=600_000), "10000",
            "Time that clients have, after SIGTERM, to get the replies to what they have sent.";
    }

    /// How log lines look, and which there are.
    pub(crate) struct Logging {
        format: LogFormat = "log_format", OneOf(LogFormat::ALL), "text",
            "How log lines look.";
        level: Level = "log_level", OneOf(LEVELS), "info",
            "The finest log lines that are written.";
    }
}

//! The forms that a value can have: what is expected, and how text becomes a typed value.

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use tracing::Level;

use crate::endpoint::Endpoint;
use crate::tls::{self, Certificates};

/// One KiB, in bytes.
pub(super) const KIB: usize = 1 << 10;
/// One MiB, in bytes.
pub(super) const MIB: usize = 1 << 20;
/// One GiB, in bytes.
pub(super) const GIB: usize = 1 << 30;

/// How the text of a key becomes a value.
pub(super) trait Form {
    /// What comes out.
    type Value;

    /// The form in words, to follow "expected".
    fn expected(&self) -> String;

    /// The value.
    ///
    /// # Errors
    /// What is wrong with the text, to follow the text itself.
    fn read(&self, text: &str) -> Result<Self::Value, String>;

    /// The text as it may be printed.
    fn shown(&self, text: &str) -> String {
        format!("{text:?}")
    }
}

/// A form whose key may also be unset.
pub(super) struct Optional<F>(pub(super) F);

impl<F: Form> Form for Optional<F> {
    type Value = Option<F::Value>;

    fn expected(&self) -> String {
        format!("{}, or nothing", self.0.expected())
    }

    fn read(&self, text: &str) -> Result<Self::Value, String> {
        if text.is_empty() { Ok(None) } else { self.0.read(text).map(Some) }
    }

    fn shown(&self, text: &str) -> String {
        self.0.shown(text)
    }
}

/// An address to listen on; a name is resolved.
pub(super) struct Address;

impl Form for Address {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "host:port".into()
    }

    fn read(&self, text: &str) -> Result<SocketAddr, String> {
        let mut addresses = text.to_socket_addrs().map_err(|error| format!("is no address ({error})"))?;
        addresses.next().ok_or_else(|| "is a name without an address".into())
    }
}

/// An address that only this machine can reach.
pub(super) struct Loopback;

impl Form for Loopback {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "host:port on the loopback interface".into()
    }

    fn read(&self, text: &str) -> Result<SocketAddr, String> {
        let address = Address.read(text)?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            Err("can be reached from other machines, and the admin port asks nobody for a password".into())
        }
    }
}

/// An [`Endpoint`].
pub(super) struct Url;

impl Form for Url {
    type Value = Endpoint;

    fn expected(&self) -> String {
        "redis://[user:password@]host[:port][/db], or rediss:// for TLS".into()
    }

    fn read(&self, text: &str) -> Result<Endpoint, String> {
        text.parse::<Endpoint>().map_err(|error| error.to_string())
    }

    fn shown(&self, text: &str) -> String {
        // Whatever stands before the last `@` may be a password, however broken the rest is.
        text.rsplit_once('@').map_or_else(|| format!("{text:?}"), |(_, place)| format!("\"***@{place}\""))
    }
}

/// One of a few names.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(T, &'static str)]);

impl<T: Copy> Form for OneOf<T> {
    type Value = T;

    fn expected(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(_, name)| *name).collect();
        names.join(" | ")
    }

    fn read(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(_, name)| *name == text);
        found.map(|(value, _)| *value).ok_or_else(|| "is none of these".into())
    }
}

/// On and off.
pub(super) const SWITCH: &[(bool, &str)] = &[(true, "true"), (false, "false")];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line, for a machine.
    Json,
}

impl LogFormat {
    /// Every format with its name.
    pub(super) const ALL: &'static [(Self, &'static str)] = &[(Self::Text, "text"), (Self::Json, "json")];
}

/// Every log level with its name, the fewest lines first.
pub(super) const LEVELS: &[(Level, &str)] =
    &[(Level::ERROR, "error"), (Level::WARN, "warn"), (Level::INFO, "info"), (Level::DEBUG, "debug"), (Level::TRACE, "trace")];

/// A whole number.
pub(super) struct Count<N>(pub(super) RangeInclusive<N>);

impl<N: Display + FromStr + PartialOrd> Form for Count<N> {
    type Value = N;

    fn expected(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, text: &str) -> Result<N, String> {
        within(&self.0, text.parse().ok())
    }
}

/// A number of milliseconds.
pub(super) struct Millis(pub(super) RangeInclusive<u64>);

impl Form for Millis {
    type Value = Duration;

    fn expected(&self) -> String {
        format!("milliseconds from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, text: &str) -> Result<Duration, String> {
        within(&self.0, text.parse().ok()).map(Duration::from_millis)
    }
}

/// A number of milliseconds, or 0 for a wait without end.
pub(super) struct MillisOrNever(pub(super) RangeInclusive<u64>);

impl Form for MillisOrNever {
    type Value = Option<Duration>;

    fn expected(&self) -> String {
        format!("milliseconds from {} to {}, or 0 for never", self.0.start(), self.0.end())
    }

    fn read(&self, text: &str) -> Result<Self::Value, String> {
        if text == "0" { Ok(None) } else { Millis(self.0.clone()).read(text).map(Some) }
    }
}

/// A number of bytes, with or without a unit.
pub(super) struct Bytes(pub(super) RangeInclusive<usize>);

/// As in Redis, `kb` is 1024 bytes. Its `k` of 1000 bytes is not taken: half of its readers would be wrong.
const UNITS: [(&str, usize); 8] = [("kib", KIB), ("kb", KIB), ("mib", MIB), ("mb", MIB), ("gib", GIB), ("gb", GIB), ("b", 1), ("", 1)];

impl Form for Bytes {
    type Value = usize;

    fn expected(&self) -> String {
        format!("a size from {} to {}, in bytes or as in 64MiB", size(*self.0.start()), size(*self.0.end()))
    }

    fn read(&self, text: &str) -> Result<usize, String> {
        let text = text.to_ascii_lowercase();
        let amount = UNITS.iter().find_map(|(unit, bytes)| {
            let amount: usize = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            amount.checked_mul(*bytes)
        });
        within(&self.0, amount)
    }
}

/// `bytes` in the biggest unit that divides it.
fn size(bytes: usize) -> String {
    let units = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    let unit = units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn within<N: PartialOrd>(range: &RangeInclusive<N>, value: Option<N>) -> Result<N, String> {
    match value {
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => Err("is out of range".into()),
        None => Err("is not that".into()),
    }
}

/// A PEM file of certificates.
pub(super) struct CertificateFile;

impl Form for CertificateFile {
    type Value = Certificates;

    fn expected(&self) -> String {
        "a PEM file of certificates".into()
    }

    fn read(&self, text: &str) -> Result<Certificates, String> {
        tls::read_certificates(Path::new(text)).map_err(|error| error.to_string())
    }
}

/// A PEM file of a private key.
pub(super) struct KeyFile;

impl Form for KeyFile {
    type Value = PrivateKeyDer<'static>;

    fn expected(&self) -> String {
        "a PEM file of a private key".into()
    }

    fn read(&self, text: &str) -> Result<Self::Value, String> {
        tls::read_key(Path::new(text)).map_err(|error| error.to_string())
    }
}

/// A folder, which need not be there yet.
pub(super) struct Folder;

impl Form for Folder {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "a folder".into()
    }

    fn read(&self, text: &str) -> Result<PathBuf, String> {
        let path = PathBuf::from(text);
        if path.exists() && !path.is_dir() { Err("is no folder".into()) } else { Ok(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        let form = Bytes(1..=GIB);
        for (text, bytes) in [("7", 7), ("7b", 7), ("64MiB", 64 * MIB), ("64mb", 64 * MIB), ("1 GiB", GIB), ("3kb", 3 * KIB)] {
            assert_eq!(form.read(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1k", "1.5MiB", "-1", "0", "2GiB", "99999999999999999999", "18446744073709551615kb"] {
            assert!(form.read(text).is_err(), "{text}");
        }
        assert_eq!(Bytes(1..=1536).expected(), "a size from 1B to 1536B, in bytes or as in 64MiB");
        assert_eq!(Bytes(KIB..=64 * GIB).expected(), "a size from 1KiB to 64GiB, in bytes or as in 64MiB");
    }

    #[test]
    fn zero_is_never_only_where_it_may_be() {
        assert_eq!(MillisOrNever(1..=9).read("0"), Ok(None));
        assert_eq!(MillisOrNever(1..=9).read("9"), Ok(Some(Duration::from_millis(9))));
        assert!(Millis(1..=9).read("0").is_err());
    }

    #[test]
    fn admin_address_has_to_be_loopback() {
        assert!(Loopback.read("127.0.0.1:0").is_ok());
        assert!(Loopback.read("[::1]:6381").is_ok());
        assert!(Loopback.read("0.0.0.0:6381").is_err_and(|why| why.contains("other machines")));
        assert!(Loopback.read("6381").is_err());
    }

    #[test]
    fn refused_url_is_shown_without_its_password() {
        assert_eq!(Url.shown("rdis://app:hunter2@host"), r#""***@host""#);
        assert_eq!(Optional(Url).shown("http://host"), r#""http://host""#);
    }
}

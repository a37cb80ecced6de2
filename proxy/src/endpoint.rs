//! Where one side is, and who Interlay is to it.
//!
//! In: `redis://[user:password@]host[:port][/db]` or `rediss://` for TLS. Out: an [`Endpoint`]. No error and no printed
//! form carries any part of a password.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// The address of one server, and the credentials and database that its lane begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Whether the connection is made with TLS (`rediss://`).
    pub(crate) tls: bool,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub(crate) host: String,
    /// TCP port. Default: 6379.
    pub(crate) port: u16,
    /// The user of `AUTH`; without one, a password is that of the default user.
    pub(crate) user: Option<String>,
    /// The password of `AUTH`. Always there when a user is.
    pub(crate) password: Option<Secret>,
    /// The database that a client starts in. Default: 0.
    pub(crate) db: u32,
}

impl Endpoint {
    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    /// The endpoint's URL without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.address())?;
        if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
    }
}

/// Why a URL is not an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Neither of the two schemes.
    #[error("does not begin with redis:// or rediss://")]
    Scheme,
    /// `user@host`, which other clients read in different ways.
    #[error("has a user without a password (a password alone is written `:password@`)")]
    UserWithoutPassword,
    /// Bytes of a user or password that are not text once decoded.
    #[error("has a user or password that is not UTF-8 once percent-decoded")]
    Encoding,
    /// No host, or one that no server can have.
    #[error("has no valid host (an IPv6 address needs brackets)")]
    Host,
    /// Not a TCP port.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// Something other than a number after the host.
    #[error("has a database that is not a number from 0 to 4294967295")]
    Db,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let (tls, rest) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(EndpointError::Scheme),
        };
        // The last `@` ends the credentials, so that a password with a raw `/` or `@` is never taken for a host.
        let (credentials, place) = rest.rsplit_once('@').map_or((None, rest), |(left, right)| (Some(left), right));
        let (user, password) = credentials.map_or(Ok((None, None)), parse_credentials)?;
        let (address, db) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = parse_address(address)?;
        let db = if db.is_empty() { 0 } else { number(db).ok_or(EndpointError::Db)? };
        Ok(Self { tls, host, port, user, password, db })
    }
}

/// `user:password` or `:password`, both percent-encoded.
fn parse_credentials(text: &str) -> Result<(Option<String>, Option<Secret>), EndpointError> {
    let (user, password) = text.split_once(':').ok_or(EndpointError::UserWithoutPassword)?;
    if password.is_empty() {
        return Err(EndpointError::UserWithoutPassword);
    }
    let user = (!user.is_empty()).then(|| decode(user)).transpose()?;
    Ok((user, Some(Secret(decode(password)?))))
}

fn decode(text: &str) -> Result<String, EndpointError> {
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| EndpointError::Encoding)?.into_owned())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn parse_address(text: &str) -> Result<(String, u16), EndpointError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(EndpointError::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| EndpointError::Host)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(EndpointError::Port)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(named) {
        return Err(EndpointError::Host);
    }
    let port = port.map_or(Some(6379), number).filter(|port| *port != 0).ok_or(EndpointError::Port)?;
    Ok((host.to_owned(), port))
}

/// Digits only: `parse` alone would also take a leading `+`.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, to be sent to the server and nowhere else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        url.parse().unwrap_or_else(|error| panic!("{url} {error}"))
    }

    #[test]
    fn every_part_has_its_default() {
        let plain = endpoint("redis://db.example");
        assert_eq!((plain.tls, plain.address().as_str(), plain.db), (false, "db.example:6379", 0));
        assert_eq!((plain.user, plain.password), (None, None));
    }

    #[test]
    fn every_part_is_read() {
        let full = endpoint("rediss://app%40team:p%3Aw%2F1@10.0.0.1:7000/15");
        assert_eq!((full.tls, full.address().as_str(), full.db), (true, "10.0.0.1:7000", 15));
        assert_eq!(full.user.as_deref(), Some("app@team"));
        assert_eq!(full.password.as_ref().map(Secret::expose), Some("p:w/1"));
    }

    #[test]
    fn password_alone_is_that_of_the_default_user() {
        let endpoint = endpoint("redis://:pw@localhost");
        assert_eq!((endpoint.user.as_deref(), endpoint.password.as_ref().map(Secret::expose)), (None, Some("pw")));
    }

    #[test]
    fn ipv6_goes_in_brackets() {
        assert_eq!(endpoint("redis://[::1]:7000/2").address(), "[::1]:7000");
        assert_eq!(endpoint("redis://[fe80::1]").host, "fe80::1");
    }

    #[test]
    fn printed_forms_show_no_password() {
        let endpoint = endpoint("rediss://app:hunter2@[::1]/3");
        assert_eq!(endpoint.to_string(), "rediss://app@[::1]:6379/3");
        assert!(!format!("{endpoint:?}").contains("hunter2"));
        assert_eq!(endpoint.password.map(|secret| secret.to_string()).as_deref(), Some("***"));
    }

    #[test]
    fn raw_slash_or_at_sign_in_a_password_stays_in_the_password() {
        let endpoint = endpoint("redis://:a/b@c@host:1");
        assert_eq!((endpoint.address().as_str(), endpoint.password.as_ref().map(Secret::expose)), ("host:1", Some("a/b@c")));
    }

    #[test]
    fn each_wrong_part_is_named() {
        for (url, error) in [
            ("localhost:6379", EndpointError::Scheme),
            ("http://localhost", EndpointError::Scheme),
            ("redis://user@host", EndpointError::UserWithoutPassword),
            ("redis://user:@host", EndpointError::UserWithoutPassword),
            ("redis://:%ff@host", EndpointError::Encoding),
            ("redis://", EndpointError::Host),
            ("redis://:6379", EndpointError::Host),
            ("redis://[::1", EndpointError::Host),
            ("redis://[host]", EndpointError::Host),
            ("redis://ho st", EndpointError::Host),
            ("redis://host?db=1", EndpointError::Host),
            ("redis://::1", EndpointError::Host),
            ("redis://host:", EndpointError::Port),
            ("redis://host:0", EndpointError::Port),
            ("redis://host:65536", EndpointError::Port),
            ("redis://[::1]6379", EndpointError::Port),
            ("redis://host/x", EndpointError::Db),
            ("redis://host/+1", EndpointError::Db),
            ("redis://host/1/2", EndpointError::Db),
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(error), "{url}");
        }
    }
}

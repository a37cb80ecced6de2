//! INFO: the server's text, with the numbers of clients that are Interlay's.

use interlay_resp::{Proto, Request};

use super::wording::text;

/// What is different in the reply to INFO from the server's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InfoEdit<'a> {
    /// Interlay's clients, who stand for the server's connections.
    pub(crate) connected_clients: usize,
    /// Clients that wait in Interlay, besides those that the server knows to wait.
    pub(crate) blocked_clients: usize,
    /// Interlay's own section, heading and line ends included, if it is wanted.
    pub(crate) section: Option<&'a str>,
}

impl InfoEdit<'_> {
    /// Whether an INFO wants Interlay's section. The server answers with an empty text to a section it does not know, so
    /// that it can be asked every INFO.
    pub(crate) fn wants_section(request: Request<'_>) -> bool {
        let wanted =
            |section: &[u8]| ["default", "all", "everything", "interlay"].iter().any(|name| section.eq_ignore_ascii_case(name.as_bytes()));
        request.argc() <= 1 || request.args().skip(1).any(wanted)
    }

    /// The reply that the client gets for the server's whole `reply`. An error stays as it is.
    pub(crate) fn apply(&self, reply: &[u8]) -> Vec<u8> {
        let Some((proto, body)) = body(reply) else { return reply.to_vec() };
        let mut edited = Vec::with_capacity(body.len() + self.section.map_or(0, str::len) + 16);
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            match self.counter(line) {
                Some((field, count)) => edited.extend_from_slice(&[field, count.to_string().as_bytes(), b"\r\n"].concat()),
                None => edited.extend_from_slice(line),
            }
        }
        if let Some(section) = self.section {
            if !edited.is_empty() {
                edited.extend_from_slice(b"\r\n");
            }
            edited.extend_from_slice(section.as_bytes());
        }
        text(proto, &edited)
    }

    /// The field that `line` is about and its new value, if it gets one.
    fn counter<'l>(&self, line: &'l [u8]) -> Option<(&'l [u8], usize)> {
        let (field, value) = line.split_at(line.iter().position(|byte| *byte == b':')? + 1);
        match field {
            b"connected_clients:" => Some((field, self.connected_clients)),
            b"blocked_clients:" => {
                let server: usize = str::from_utf8(value.trim_ascii()).ok()?.parse().ok()?;
                Some((field, server.saturating_add(self.blocked_clients)))
            }
            _ => None,
        }
    }
}

/// The protocol and the text of a reply that is one.
fn body(reply: &[u8]) -> Option<(Proto, &[u8])> {
    let proto = match reply.first()? {
        b'$' => Proto::Resp2,
        b'=' => Proto::Resp3,
        _ => return None,
    };
    let behind = reply.windows(2).position(|window| window == b"\r\n")? + 2;
    let body = reply.get(behind..)?.strip_suffix(b"\r\n")?;
    match proto {
        Proto::Resp2 => Some((proto, body)),
        Proto::Resp3 => Some((proto, body.strip_prefix(b"txt:")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;

    const CLIENTS: &str = "# Clients\r\nconnected_clients:1\r\ncluster_connections:0\r\nmaxclients:10000\r\nblocked_clients:2\r\n\
                           tracking_clients:3\r\nclients_in_timeout_table:0\r\n";
    const EDITED: &str = "# Clients\r\nconnected_clients:500\r\ncluster_connections:0\r\nmaxclients:10000\r\nblocked_clients:12\r\n\
                          tracking_clients:3\r\nclients_in_timeout_table:0\r\n";
    const EDIT: InfoEdit<'_> = InfoEdit { connected_clients: 500, blocked_clients: 10, section: None };
    const SECTION: &str = "# Interlay\r\nphase:mirroring\r\n";

    #[test]
    fn only_the_clients_change() {
        for proto in [Proto::Resp2, Proto::Resp3] {
            let server = format!("# Server\r\nrun_id:connected_clients\r\n\r\n{CLIENTS}\r\n# Keyspace\r\n");
            let expected = format!("# Server\r\nrun_id:connected_clients\r\n\r\n{EDITED}\r\n# Keyspace\r\n");
            assert_eq!(EDIT.apply(&text(proto, server.as_bytes())), text(proto, expected.as_bytes()));
            assert_eq!(EDIT.apply(&text(proto, b"# Keyspace\r\n")), text(proto, b"# Keyspace\r\n"));
            assert_eq!(EDIT.apply(&text(proto, b"")), text(proto, b""));
        }
    }

    #[test]
    fn interlay_s_section_comes_last() {
        let edit = InfoEdit { section: Some(SECTION), ..EDIT };
        for proto in [Proto::Resp2, Proto::Resp3] {
            let expected = format!("{EDITED}\r\n{SECTION}");
            assert_eq!(edit.apply(&text(proto, CLIENTS.as_bytes())), text(proto, expected.as_bytes()));
            assert_eq!(edit.apply(&text(proto, b"")), text(proto, SECTION.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_text_stays_as_it_is() {
        let edit = InfoEdit { section: Some(SECTION), ..EDIT };
        for reply in ["-NOPERM no\r\n", "$-1\r\n", "_\r\n", "$5\r\nabc", "=4\r\nmkd:\r\n", "$", ""] {
            assert_eq!(edit.apply(reply.as_bytes()), reply.as_bytes(), "{reply:?}");
        }
    }

    #[test]
    fn the_section_is_wanted_by_name_or_with_all_of_them() {
        let wants = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            InfoEdit::wants_section(request::of(&words, &mut Vec::new()))
        };
        for line in ["INFO", "info Default", "INFO ALL", "INFO everything", "INFO interlay", "INFO clients InterLay", "INFO x all"] {
            assert!(wants(line), "{line}");
        }
        for line in ["INFO clients", "INFO modules keyspace", "INFO x", "INFO interlays"] {
            assert!(!wants(line), "{line}");
        }
    }
}

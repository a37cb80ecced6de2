//! What the model server replies, in either protocol.

use interlay_resp::{Proto, encode_request};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Ok,
    Status(&'static str),
    /// In answer to a request between MULTI and EXEC.
    Queued,
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    /// The nil of commands that reply with an array otherwise.
    NilArray,
    Array(Vec<Self>),
    Set(Vec<Vec<u8>>),
    /// What HELLO tells of the server.
    Map(Vec<(Self, Self)>),
    Error(&'static str),
}

impl Reply {
    pub(crate) const WRONG_TYPE: Self = Self::Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(crate) const NO_INTEGER: Self = Self::Error("ERR value is not an integer or out of range");
    pub(crate) const NO_DB: Self = Self::Error("ERR DB index is out of range");

    pub(crate) const UNKNOWN: Self = Self::Error("ERR unknown command");
    pub(crate) const NO_MEMORY: Self = Self::Error("OOM command not allowed when used memory > 'maxmemory'.");
    pub(crate) const BAD_PAYLOAD: Self = Self::Error("ERR DUMP payload version or checksum are wrong");
    pub(crate) const ABORTED: Self = Self::Error("EXECABORT Transaction discarded because of previous errors.");

    pub(crate) fn bulk_or_nil(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Nil, Self::Bulk)
    }

    pub(crate) fn count(n: usize) -> Self {
        Self::Int(n as i64)
    }

    pub(crate) fn flag(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }

    pub(crate) fn encode(&self, proto: Proto) -> Vec<u8> {
        let mut out = Vec::new();
        self.append(proto, &mut out);
        out
    }

    fn append(&self, proto: Proto, out: &mut Vec<u8>) {
        let resp3 = proto == Proto::Resp3;
        match self {
            Self::Ok => out.extend_from_slice(b"+OK\r\n"),
            Self::Status(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Self::Queued => out.extend_from_slice(b"+QUEUED\r\n"),
            Self::Int(n) => out.extend_from_slice(format!(":{n}\r\n").as_bytes()),
            Self::Bulk(bytes) => {
                out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nil => out.extend_from_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
            Self::NilArray => out.extend_from_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" }),
            Self::Array(items) => {
                out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
                items.iter().for_each(|item| item.append(proto, out));
            }
            Self::Set(members) => {
                let at = out.len();
                encode_request(members, out); // an array of bulk strings has the form of a request
                if resp3 {
                    out[at] = b'~';
                }
            }
            Self::Map(pairs) => {
                let (sigil, len) = if resp3 { ('%', pairs.len()) } else { ('*', pairs.len() * 2) };
                out.extend_from_slice(format!("{sigil}{len}\r\n").as_bytes());
                for (key, value) in pairs {
                    key.append(proto, out);
                    value.append(proto, out);
                }
            }
            Self::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        }
    }
}

//! What CLIENT LIST and CLIENT INFO say of one client.

use std::net::SocketAddr;

use interlay_resp::Proto;

use super::Flags;

/// One client, as a line of CLIENT LIST tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// As CLIENT ID tells it.
    pub(crate) id: u64,
    /// Its own end of the connection.
    pub(crate) addr: SocketAddr,
    /// Interlay's end of the connection.
    pub(crate) laddr: SocketAddr,
    /// The socket's file descriptor.
    pub(crate) fd: i32,
    /// As CLIENT SETNAME or HELLO set it, or empty.
    pub(crate) name: &'a [u8],
    /// Seconds since it connected.
    pub(crate) age_secs: u64,
    /// Seconds since its last request.
    pub(crate) idle_secs: u64,
    /// Its state.
    pub(crate) flags: Flags,
    /// Its database.
    pub(crate) db: u32,
    /// Channels it is subscribed to.
    pub(crate) channels: usize,
    /// Patterns it is subscribed to.
    pub(crate) patterns: usize,
    /// Shard channels it is subscribed to.
    pub(crate) shard_channels: usize,
    /// Requests queued in its MULTI, if it is in one.
    pub(crate) queued: Option<usize>,
    /// Bytes of the requests that are not carried out yet; for the client that asks, those of its question.
    pub(crate) query_bytes: usize,
    /// Bytes of replies that it has not read.
    pub(crate) output_bytes: usize,
    /// The name of its last command, in lower case, with its subcommand: `client|list`. None before the first.
    pub(crate) command: Option<&'a str>,
    /// Its user.
    pub(crate) user: &'a [u8],
    /// The client that gets its invalidations instead of it.
    pub(crate) redirect: Option<u64>,
    /// Its protocol.
    pub(crate) proto: Proto,
    /// What its library says of itself. None if the server does not know CLIENT SETINFO, and so not these fields.
    pub(crate) library: Option<Library<'a>>,
}

/// What a client's library has said of itself with CLIENT SETINFO.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Library<'a> {
    /// Or empty.
    pub(crate) name: &'a [u8],
    /// Or empty.
    pub(crate) version: &'a [u8],
}

impl Facts<'_> {
    /// Where its invalidations go, as CLIENT GETREDIR has it: -1 without tracking, 0 to itself, or a client's id.
    pub(crate) fn redirection(&self) -> i128 {
        if self.flags.tracking { self.redirect.unwrap_or(0).into() } else { -1 }
    }

    /// The line of CLIENT LIST, with its end; CLIENT INFO is the same. What only a server has is 0.
    pub(crate) fn line(&self) -> Vec<u8> {
        let Self { id, addr, laddr, fd, age_secs, idle_secs, flags, db, channels, patterns, shard_channels, .. } = self;
        let Self { query_bytes, output_bytes, .. } = self;
        let multi = self.queued.map_or_else(|| "-1".to_owned(), |queued| queued.to_string());
        let command = self.command.unwrap_or("NULL");
        let redir = self.redirection();
        let resp = match self.proto {
            Proto::Resp2 => 2,
            Proto::Resp3 => 3,
        };
        let mut line = format!("id={id} addr={addr} laddr={laddr} fd={fd} name=").into_bytes();
        line.extend_from_slice(self.name);
        line.extend_from_slice(
            format!(
                " age={age_secs} idle={idle_secs} flags={flags} db={db} sub={channels} psub={patterns} ssub={shard_channels} multi={multi} \
                 qbuf={query_bytes} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={output_bytes} tot-mem={} events=r \
                 cmd={command} user=",
                query_bytes + output_bytes
            )
            .as_bytes(),
        );
        line.extend_from_slice(self.user);
        line.extend_from_slice(format!(" redir={redir} resp={resp}").as_bytes());
        if let Some(library) = self.library {
            line.extend_from_slice(&[b" lib-name=", library.name, b" lib-ver=", library.version].concat());
        }
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An idle client of this id, connected from the port of that number.
    pub(in crate::roster) fn client(id: u64) -> Facts<'static> {
        Facts {
            id,
            addr: SocketAddr::from(([127, 0, 0, 1], u16::try_from(id).expect("ids of tests are small"))),
            laddr: SocketAddr::from(([127, 0, 0, 1], 6380)),
            fd: 8,
            name: b"",
            age_secs: 0,
            idle_secs: 0,
            flags: Flags::default(),
            db: 0,
            channels: 0,
            patterns: 0,
            shard_channels: 0,
            queued: None,
            query_bytes: 0,
            output_bytes: 0,
            command: None,
            user: b"default",
            redirect: None,
            proto: Proto::Resp2,
            library: None,
        }
    }

    #[test]
    fn a_line_has_the_fields_of_redis_in_their_order() {
        // The fields of 7.0.15.
        let line = "id=4 addr=127.0.0.1:4 laddr=127.0.0.1:6380 fd=8 name= age=0 idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 \
                    qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=26 events=r cmd=client|list user=default \
                    redir=-1 resp=2\n";
        let asking = Facts { query_bytes: 26, command: Some("client|list"), ..client(4) };
        assert_eq!(String::from_utf8_lossy(&asking.line()), line);

        let flags = Flags { pubsub: true, multi: true, tracking: true, broadcast: true, ..Flags::default() };
        let busy = Facts {
            addr: "[::1]:50000".parse().expect("it is an address"),
            name: b"worker",
            age_secs: 70,
            idle_secs: 3,
            flags,
            db: 9,
            channels: 2,
            patterns: 1,
            shard_channels: 4,
            queued: Some(5),
            output_bytes: 100,
            user: b"\xff",
            redirect: Some(7),
            proto: Proto::Resp3,
            library: Some(Library { name: b"redis-py", version: b"5.0.1" }),
            ..client(12)
        };
        let line =
            b"id=12 addr=[::1]:50000 laddr=127.0.0.1:6380 fd=8 name=worker age=70 idle=3 flags=PxtB db=9 sub=2 psub=1 ssub=4 multi=5 \
                     qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=100 tot-mem=100 events=r cmd=NULL user=\xff \
                     redir=7 resp=3 lib-name=redis-py lib-ver=5.0.1\n";
        assert_eq!(busy.line().escape_ascii().to_string(), line.escape_ascii().to_string());
    }

    #[test]
    fn a_client_without_tracking_has_no_redirection() {
        let on = Flags { tracking: true, ..Flags::default() };
        assert_eq!(client(1).redirection(), -1);
        assert_eq!(Facts { flags: on, ..client(1) }.redirection(), 0);
        assert_eq!(Facts { flags: on, redirect: Some(5), ..client(1) }.redirection(), 5);
        assert_eq!(Facts { redirect: Some(5), ..client(1) }.redirection(), -1);
    }
}

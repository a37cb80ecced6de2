//! Connections to a side: dialled, authenticated, and asked what they can do.
//!
//! Everything here happens before a connection becomes a lane, one command after the other, with frames. Dropping a
//! future half way drops the connection.

use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use interlay_resp::{Frame, Limits, Proto, ReplyError, ReplyScan, ReplyScanner};
use interlay_routing::command::CommandTable;
use interlay_routing::{Abilities, Session};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::endpoint::Endpoint;
use crate::socket::Socket;
use crate::tls::SideTls;

/// The most databases looked for. Redis's own default is 16; nobody is known to configure more than this.
const DATABASES_MAX: u32 = 1 << 16;

/// Idle time after which a peer is probed, so that one that vanished without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Time after which bytes that a server's system has not acknowledged end a connection to it. Probes do not run while
/// such bytes are under way, so without this a lane whose route is gone would hang for a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no connection to a side, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody answers there, or TLS failed.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke during the handshake.
    #[error("connection lost during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The server speaks something else.
    #[error("not a Redis server: {0}")]
    Protocol(#[from] ReplyError),
    /// The server refused a command of the handshake.
    #[error("{command} refused: {reply}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The server's words.
        reply: String,
    },
}

/// What the handshake found out about a server.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    /// What its lane can do.
    pub(crate) abilities: Abilities,
    /// The connection's own id there, by which it can be killed.
    pub(crate) client_id: Option<i64>,
    /// The server's version, if it tells.
    pub(crate) version: Option<String>,
    /// The id of the server's process, if it tells.
    pub(crate) run_id: Option<String>,
    /// Whether a client has to authenticate before anything else.
    pub(crate) auth_required: bool,
}

/// Opens connections to one side.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Its TLS.
    pub(crate) tls: Option<SideTls>,
    /// Time for one connection, handshake included.
    pub(crate) timeout: Duration,
}

impl Dialer {
    /// A connection for a client, with the rights of the endpoint's own user; and its id there.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn own(&self, session: Session, name: &[u8]) -> Result<(Rc<Socket>, Option<i64>), DialError> {
        let dial = async {
            let mut connection = Connection::open(&self.endpoint, self.tls.as_ref()).await?;
            connection.authenticate(&self.endpoint).await?;
            let id = connection.settle_in(session, name).await?;
            Ok((connection.into_socket(), id))
        };
        tokio::time::timeout(self.timeout, dial).await.unwrap_or_else(|_| Err(DialError::Io(ErrorKind::TimedOut.into())))
    }
}

impl Dialer {
    /// What the server says to credentials; and the connection, which has them if it takes them. That of another user than the
    /// endpoint's own is settled in before, because the user may have no right to any of it; its id comes with it.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn log_in(
        &self,
        user: Option<&[u8]>,
        password: &[u8],
        session: Session,
    ) -> Result<(Frame, Connection, Option<i64>), DialError> {
        let dial = async {
            let mut connection = Connection::open(&self.endpoint, self.tls.as_ref()).await?;
            let mut id = None;
            if !self.is_own_user(user) {
                connection.authenticate(&self.endpoint).await?;
                id = connection.settle_in(session, &[]).await?;
            }
            let verdict = connection.call(&credentials(user, password)).await?;
            Ok((verdict, connection, id))
        };
        tokio::time::timeout(self.timeout, dial).await.unwrap_or_else(|_| Err(DialError::Io(ErrorKind::TimedOut.into())))
    }

    /// Whether this is the user whose rights the lane has.
    pub(crate) fn is_own_user(&self, user: Option<&[u8]>) -> bool {
        user.unwrap_or(b"default") == self.endpoint.user.as_deref().unwrap_or("default").as_bytes()
    }
}

/// A connection that answers one command at a time.
pub(crate) struct Connection {
    socket: Socket,
    /// Bytes read behind the last reply.
    rest: Vec<u8>,
}

/// Sets what every connection of the data plane has: no delay, and probes when idle.
///
/// # Errors
/// The system's.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

impl Connection {
    /// Opens a connection to `endpoint`, unauthenticated.
    ///
    /// # Errors
    /// [`DialError::Connect`].
    pub(crate) async fn open(endpoint: &Endpoint, tls: Option<&SideTls>) -> Result<Self, DialError> {
        let socket = async {
            let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            tune(&tcp)?;
            socket2::SockRef::from(&tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
            let Some(tls) = tls else { return Ok(Socket::plain(tcp)) };
            let stream = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), tcp).await?;
            let (tcp, connection) = stream.into_inner();
            Ok(Socket::tls(tcp, connection))
        };
        Ok(Self { socket: socket.await.map_err(DialError::Connect)?, rest: Vec::new() })
    }

    /// Sends one command and waits for its reply, which may be an error frame.
    ///
    /// # Errors
    /// [`DialError::Io`] and [`DialError::Protocol`].
    pub(crate) async fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Result<Frame, DialError> {
        let mut request = Vec::new();
        interlay_resp::encode_request(args, &mut request);
        self.send(&request).await?;
        Ok(interlay_resp::decode_reply(&self.receive().await?)?)
    }

    /// Sends several commands at once and waits for their replies, in the same order.
    ///
    /// # Errors
    /// As of [`Connection::call`].
    pub(crate) async fn call_all(&mut self, requests: &[Vec<Vec<u8>>]) -> Result<Vec<Frame>, DialError> {
        let mut bytes = Vec::new();
        for args in requests {
            interlay_resp::encode_request(args, &mut bytes);
        }
        self.send(&bytes).await?;
        let mut replies = Vec::with_capacity(requests.len());
        for _ in requests {
            replies.push(interlay_resp::decode_reply(&self.receive().await?)?);
        }
        Ok(replies)
    }

    /// As [`Connection::call`], but an error frame is an error.
    async fn demand(&mut self, command: &'static str, args: &[impl AsRef<[u8]>]) -> Result<Frame, DialError> {
        match self.call(args).await? {
            Frame::SimpleError { data, .. } => Err(DialError::Refused { command, reply: data }),
            frame => Ok(frame),
        }
    }

    /// Authenticates with an endpoint's own credentials, if it has any.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn authenticate(&mut self, endpoint: &Endpoint) -> Result<(), DialError> {
        let Some(password) = &endpoint.password else { return Ok(()) };
        let credentials = credentials(endpoint.user.as_deref().map(str::as_bytes), password.expose().as_bytes());
        self.demand("AUTH", &credentials).await.map(drop)
    }

    /// Makes the connection fit to be a lane: authenticated, named, in database 0 and RESP2. `last` is what the lane's last
    /// connection found: the server, if it is still the same process, is told to end that one, so that nothing it may still
    /// hold is executed behind what this one sends.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn greet(&mut self, endpoint: &Endpoint, name: &str, last: Option<&Greeting>) -> Result<Greeting, DialError> {
        // Without a password there is no way in but an open one; a password may just be changing.
        let closed = endpoint.password.is_some()
            && matches!(self.call(&["PING"]).await?, Frame::SimpleError { data, .. } if data.starts_with("NOAUTH"));
        // Where anybody may come in, it is not with the rights of a user that the lane has been given.
        let auth_required = closed || endpoint.user.as_deref().is_some_and(|user| user != "default");
        self.authenticate(endpoint).await?;
        self.demand("PING", &["PING"]).await?; // a server that loads its data, or wants credentials, says so
        // The next three are asked, not demanded: old or managed servers refuse some of them.
        self.call(&["CLIENT", "SETNAME", name]).await?;
        let client_id = integer(&self.call(&["CLIENT", "ID"]).await?);
        let info = self.call(&["INFO", "server"]).await?;
        let run_id = info_field(&info, "run_id");
        // Another process has given the id to somebody else.
        if let Some(last_id) = last.filter(|last| last.run_id == run_id).and_then(|last| last.client_id) {
            self.call(&["CLIENT", "KILL", "ID", &last_id.to_string()]).await?;
        }
        let resp3 = !matches!(self.call(&["HELLO", "3"]).await?, Frame::SimpleError { .. });
        if resp3 {
            self.demand("HELLO", &["HELLO", "2"]).await?;
        }
        let databases = self.count_databases().await?;
        let version = info_field(&info, "redis_version");
        let major = version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        let abilities = Abilities { databases, resp3, since_7_0: major.is_some_and(|major| major >= 7) };
        Ok(Greeting { abilities, client_id, version, run_id, auth_required })
    }

    /// Makes the connection a client's own: in its database and protocol, and named as it is. Gives the connection's id.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn settle_in(&mut self, session: Session, name: &[u8]) -> Result<Option<i64>, DialError> {
        if session.proto == Proto::Resp3 {
            self.demand("HELLO", &["HELLO", "3"]).await?;
        }
        if session.db != 0 {
            self.demand("SELECT", &["SELECT", &session.db.to_string()]).await?;
        }
        if !name.is_empty() {
            self.call(&[b"CLIENT", b"SETNAME".as_slice(), name]).await?;
        }
        match self.call(&["CLIENT", "ID"]).await? {
            // The server says this of itself and closes, whatever it was asked.
            Frame::SimpleError { data, .. } if data.starts_with("ERR max number") => {
                Err(DialError::Refused { command: "the connection", reply: data })
            }
            frame => Ok(integer(&frame)),
        }
    }

    /// Counts the databases by selecting them, which every server allows; leaves database 0 selected.
    async fn count_databases(&mut self) -> Result<u32, DialError> {
        let (mut exists, mut missing) = (0, 1);
        while missing < DATABASES_MAX && self.selects(missing).await? {
            (exists, missing) = (missing, missing * 2);
        }
        while missing - exists > 1 {
            let middle = exists + (missing - exists) / 2;
            if self.selects(middle).await? { exists = middle } else { missing = middle }
        }
        self.demand("SELECT", &["SELECT", "0"]).await?;
        Ok(missing)
    }

    async fn selects(&mut self, db: u32) -> Result<bool, DialError> {
        Ok(!matches!(self.call(&["SELECT", &db.to_string()]).await?, Frame::SimpleError { .. }))
    }

    /// Reads the server's command table: with the built-in one below it, or, of a server that does not `teach`, only what it knows
    /// itself. None if it does not tell, or tells nothing that can be used.
    ///
    /// # Errors
    /// [`DialError::Io`] and [`DialError::Protocol`].
    pub(crate) async fn command_table(&mut self, teaches: bool) -> Result<Option<CommandTable>, DialError> {
        let read = if teaches { CommandTable::from_reply } else { CommandTable::reported };
        let table = match self.call(&["COMMAND"]).await? {
            Frame::SimpleError { data, .. } => Err(data),
            frame => read(&frame).map_err(|error| error.to_string()),
        };
        if let Err(error) = &table
            && teaches
        {
            tracing::warn!(error, "no command table from the source: the built-in one is used");
        }
        Ok(table.ok())
    }

    /// The socket, between two replies.
    pub(crate) fn into_socket(self) -> Rc<Socket> {
        Rc::new(self.socket)
    }

    async fn send(&self, mut request: &[u8]) -> io::Result<()> {
        while !request.is_empty() || !self.socket.is_flushed() {
            let wrote = if request.is_empty() { self.socket.flush().map(|()| 0) } else { self.socket.write(&[IoSlice::new(request)]) };
            match wrote {
                Ok(n) => request = request.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The bytes of the next reply.
    async fn receive(&mut self) -> Result<Vec<u8>, DialError> {
        let mut scanner = ReplyScanner::default();
        let mut reply = Vec::new();
        let mut buf = vec![0; 64 * 1024];
        let mut unread = std::mem::take(&mut self.rest);
        loop {
            match scanner.scan(&unread, &Limits::default())? {
                ReplyScan::Complete { len, .. } => {
                    self.rest = unread.split_off(len);
                    reply.append(&mut unread);
                    return Ok(reply);
                }
                ReplyScan::NeedMore => reply.append(&mut unread),
            }
            let n = self.read(&mut buf).await?;
            unread.extend_from_slice(buf.get(..n).unwrap_or_default());
        }
    }

    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buf) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.readable().await?,
                done => return done,
            }
        }
    }
}

/// The arguments of AUTH.
pub(crate) fn credentials<'a>(user: Option<&'a [u8]>, password: &'a [u8]) -> Vec<&'a [u8]> {
    [b"auth".as_slice()].into_iter().chain(user).chain([password]).collect()
}

fn integer(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Number { data, .. } => Some(*data),
        _ => None,
    }
}

/// A field of an INFO reply.
fn info_field(info: &Frame, name: &str) -> Option<String> {
    let (Frame::BlobString { data, .. } | Frame::VerbatimString { data, .. }) = info else { return None };
    let value = std::str::from_utf8(data).ok()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

//! A raw connection: a test decides every byte that goes out, and sees every byte that comes back.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::PATIENCE;
use crate::authority::CertificateAuthority;

/// A connection that speaks RESP byte by byte.
#[derive(Debug)]
pub struct Conn {
    stream: BufReader<Box<dyn Duplex>>,
    socket: TcpStream,
}

/// A socket, with or without TLS.
trait Duplex: Read + Write + Debug + Send {}

impl<S: Read + Write + Debug + Send> Duplex for S {}

impl Conn {
    /// Connects to a loopback port.
    ///
    /// # Panics
    ///
    /// If nothing listens there.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let (stream, socket) = Self::connect(port);
        Self { stream: BufReader::new(Box::new(stream)), socket }
    }

    /// Connects to a loopback port that speaks TLS, with a certificate that `authority` has signed. The handshake comes
    /// with the first request.
    #[must_use]
    pub fn tls_to(port: u16, authority: &CertificateAuthority) -> Self {
        Self::tls_with(port, authority, b"")
    }

    /// The same; `first` is sent together with the last bytes of the handshake.
    ///
    /// # Panics
    ///
    /// If nothing listens there.
    #[must_use]
    pub fn tls_with(port: u16, authority: &CertificateAuthority, first: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority.ca_file()).expect("the authority's certificate");
        roots.add(certificate).expect("a certificate of an authority");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("a TLS session");
        session.writer().write_all(first).expect("kept until the handshake is done");
        let (mut stream, socket) = Self::connect(port);
        if !first.is_empty() {
            session.complete_io(&mut stream).expect("a handshake");
        }
        Self { stream: BufReader::new(Box::new(StreamOwned::new(session, stream))), socket }
    }

    /// The socket, twice.
    fn connect(port: u16) -> (TcpStream, TcpStream) {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        let socket = stream.try_clone().expect("another handle");
        (stream, socket)
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// If the peer does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the peer takes what it is sent");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The socket's, for example when the peer has closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends one request as an array of bulk strings.
    pub fn request<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) {
        self.send(Self::encode(args));
    }

    /// One request as bytes.
    #[must_use]
    pub fn encode<A: AsRef<[u8]>>(args: impl IntoIterator<Item = A>) -> Vec<u8> {
        let args: Vec<A> = args.into_iter().collect();
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// The bytes of the next whole reply, RESP2 or RESP3, nested and streamed parts included.
    ///
    /// # Panics
    ///
    /// If it does not come within [`PATIENCE`], or the connection ends before it.
    pub fn reply(&mut self) -> Vec<u8> {
        self.try_reply().expect("a whole reply")
    }

    /// The bytes of the next whole reply.
    ///
    /// # Errors
    ///
    /// The socket's; `UnexpectedEof` when the connection has ended.
    pub fn try_reply(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut missing = 1_usize;
        while missing > 0 {
            missing -= 1;
            let start = bytes.len();
            if self.stream.read_until(b'\n', &mut bytes)? == 0 || !bytes.ends_with(b"\r\n") {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let number = std::str::from_utf8(&bytes[start + 1..bytes.len() - 2]).ok().and_then(|n| n.parse::<usize>().ok());
            match (bytes[start], number) {
                (b'$' | b'!' | b'=', Some(len)) => {
                    let filled = bytes.len();
                    bytes.resize(filled + len + 2, 0);
                    self.stream.read_exact(&mut bytes[filled..])?;
                }
                (b'*' | b'~' | b'>', Some(parts)) => missing += parts,
                (b'%', Some(pairs)) => missing += 2 * pairs,
                (b'|', Some(pairs)) => missing += 2 * pairs + 1,
                _ => {}
            }
        }
        Ok(bytes)
    }

    /// Sends one request and returns its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Vec<u8> {
        self.request(args);
        self.reply()
    }

    /// Sends all requests at once and returns their replies.
    pub fn pipeline(&mut self, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.send(requests.concat());
        requests.iter().map(|_| self.reply()).collect()
    }

    /// Says that nothing more will be sent; replies can still be read.
    pub fn finish(&mut self) {
        self.socket.shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Everything that still comes, until the peer closes the connection.
    ///
    /// # Panics
    ///
    /// If it does not close it within [`PATIENCE`].
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the peer did not close the connection: {error}, after {}", text(&rest)),
        }
        rest
    }

    /// The socket itself.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// Whether a reply is an error.
#[must_use]
pub fn is_error(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'-' | b'!'))
}

/// Bytes in a form that a failed assertion can show.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

//! A TCP connection, with or without TLS, that is read and written without waiting.
//!
//! The data plane writes replies from the lane's task and requests from the clients' tasks, whoever has something
//! ready. So a [`Socket`] is shared, its reads and writes return at once, and waiting is a separate act.

use std::cell::{RefCell, RefMut};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use rustls::Connection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// One connection of the data plane.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    tls: Option<RefCell<Connection>>,
}

impl Socket {
    /// A connection without TLS.
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }

    /// A connection whose TLS handshake is done.
    pub(crate) fn tls(tcp: TcpStream, connection: impl Into<Connection>) -> Self {
        Self { tcp, tls: Some(RefCell::new(connection.into())) }
    }

    /// The other end's address and this one's, and the file's number, as CLIENT LIST tells them.
    pub(crate) fn ends(&self) -> (SocketAddr, SocketAddr, i32) {
        let unknown = || SocketAddr::from(([0, 0, 0, 0], 0));
        let ends = (self.tcp.peer_addr(), self.tcp.local_addr());
        (ends.0.unwrap_or_else(|_| unknown()), ends.1.unwrap_or_else(|_| unknown()), self.tcp.as_raw_fd())
    }

    /// Waits until a read may find something. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // What is decrypted already makes no socket readable.
        if self.tls.as_ref().is_some_and(|tls| has_plaintext(&mut tls.borrow_mut())) {
            return Ok(());
        }
        self.tcp.readable().await
    }

    /// Waits until a write may take something. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when there is nothing yet; anything else ends the connection.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => read_tcp(&self.tcp, buf),
            Some(tls) => self.read_tls(tls.borrow_mut(), buf),
        }
    }

    /// Writes as much as is taken at once.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when nothing is taken; anything else ends the connection.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.tls {
            None => write_tcp(&self.tcp, slices),
            Some(tls) => {
                let mut tls = tls.borrow_mut();
                let taken = tls.writer().write_vectored(slices)?;
                match self.push_records(&mut tls) {
                    // Sealed but not sent: it counts as written, and `is_flushed` tells.
                    Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                    _ if taken == 0 => Err(ErrorKind::WouldBlock.into()),
                    _ => Ok(taken),
                }
            }
        }
    }

    /// Whether nothing that [`Socket::write`] took still waits here.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.borrow().wants_write())
    }

    /// Sends on what [`Socket::write`] took.
    ///
    /// # Errors
    /// As [`Socket::write`].
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.tls.as_ref().map_or(Ok(()), |tls| self.push_records(&mut tls.borrow_mut()))
    }

    fn read_tls(&self, mut tls: RefMut<'_, Connection>, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match tls.reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            tls.read_tls(&mut NonBlocking(&self.tcp))?;
            let processed = tls.process_new_packets();
            // Alerts and key updates are answered even if the connection is about to end.
            match self.push_records(&mut tls) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            processed.map_err(io::Error::other)?;
        }
    }

    fn push_records(&self, tls: &mut Connection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut NonBlocking(&self.tcp))?;
        }
        Ok(())
    }
}

fn has_plaintext(tls: &mut Connection) -> bool {
    // An error here is found again by the next read, which reports it.
    tls.process_new_packets().map_or(true, |state| state.plaintext_bytes_to_read() > 0)
}

/// A short read has emptied the socket: reporting it as "would block" to tokio saves the next read, which would find
/// nothing. New bytes, or an end that is already there, make the socket readable again.
fn read_tcp(tcp: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let mut short = None;
    let read = tcp.try_io(Interest::READABLE, || {
        let n = (&*SockRef::from(tcp)).read(buf)?;
        if 0 < n && n < buf.len() {
            short = Some(n);
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    short.map_or(read, Ok)
}

fn write_tcp(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    tcp.try_io(Interest::WRITABLE, || match slices {
        [one] => SockRef::from(tcp).send(one), // cheaper than a vector of one
        many => SockRef::from(tcp).send_vectored(many),
    })
}

/// What rustls reads records from and writes them to.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_tcp(self.0, buf)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        write_tcp(self.0, &[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_tcp(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

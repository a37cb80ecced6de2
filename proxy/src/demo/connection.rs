//! A connection to a server or to an interlay, as any client has one: requests out, replies back, in order.

use std::io;
use std::net::Ipv4Addr;

use bytes::{Bytes, BytesMut};
use interlay_resp::{Frame, Limits, ReplyError, ReplyScan, ReplyScanner, decode_reply, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A RESP2 connection to a port of this machine.
pub(super) struct Connection {
    socket: TcpStream,
    /// Read and not yet given out.
    read: BytesMut,
    scanner: ReplyScanner,
    limits: Limits,
}

impl Connection {
    pub(super) async fn to(port: u16) -> io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, read: BytesMut::new(), scanner: ReplyScanner::default(), limits: Limits::default() })
    }

    pub(super) async fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.socket.write_all(requests).await
    }

    /// The bytes of the next whole reply.
    pub(super) async fn reply(&mut self) -> io::Result<Bytes> {
        let mut scanned = 0;
        loop {
            let new = self.read.get(scanned..).unwrap_or_default();
            if let ReplyScan::Complete { len, .. } = self.scanner.scan(new, &self.limits).map_err(invalid)? {
                return Ok(self.read.split_to(scanned + len).freeze());
            }
            scanned = self.read.len();
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends one request, its words separated by blanks, and gives the text of its reply.
    ///
    /// # Errors
    /// The socket's; and [`io::ErrorKind::InvalidData`] for an error reply, or one that is no text.
    pub(super) async fn call(&mut self, request: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        encode(request, &mut bytes);
        self.send(&bytes).await?;
        match decode_reply(&self.reply().await?).map_err(invalid)? {
            Frame::SimpleString { data, .. } | Frame::BlobString { data, .. } => Ok(String::from_utf8_lossy(&data).into_owned()),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{request} was answered by {other:?}"))),
        }
    }
}

/// Appends one request, its words separated by blanks.
pub(super) fn encode(request: &str, out: &mut Vec<u8>) {
    encode_request(request.split(' ').collect::<Vec<_>>(), out);
}

fn invalid(error: ReplyError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

//! The least Redis client that a bench needs: blocking, one reply a command.
//!
//! Used beside the measured load only: to see that a setup works, to fill it, and to ask servers for their state.

use crate::error::{BenchError, Result, Step};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A reply that takes longer means that the peer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commands in flight while filling: enough to keep the peer busy, and their replies fit in any socket buffer,
/// so that writing them all before reading cannot deadlock.
const FILL_BATCH: u32 = 500;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// [`BenchError::Io`] if nobody listens there.
    pub fn connect(port: u16) -> Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = || {
            let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Self { stream: BufReader::new(stream) })
        };
        connect().step(format!("connect to port {port}"))
    }

    /// Sends one command and returns its reply: a simple string, an integer in digits, or a bulk string.
    ///
    /// # Errors
    /// [`BenchError::Reply`] for an error reply, a null or an aggregate; [`BenchError::Io`] if the connection breaks.
    pub fn ask(&mut self, command: &[&[u8]]) -> Result<Vec<u8>> {
        let name = String::from_utf8_lossy(command.first().copied().unwrap_or_default()).into_owned();
        self.send(command).step(format!("send {name}"))?;
        match self.receive().step(format!("receive the reply to {name}"))? {
            Ok(reply) => Ok(reply),
            Err(reply) => Err(BenchError::Reply { command: name, reply }),
        }
    }

    /// As [`Client::ask`], with words and a reply that are text.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_text(&mut self, command: &[&str]) -> Result<String> {
        let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
        self.ask(&words).map(|reply| String::from_utf8_lossy(&reply).into_owned())
    }

    /// Sets every key that redis-benchmark draws from with `-r keys` to a value of `value_bytes` bytes.
    ///
    /// # Errors
    /// [`BenchError::Reply`] for the first write refused; [`BenchError::Io`] if the connection breaks.
    pub fn fill(&mut self, keys: u32, value_bytes: usize) -> Result<()> {
        let value = vec![b'x'; value_bytes];
        let mut batch_start = 0;
        while batch_start < keys {
            let batch = batch_start..keys.min(batch_start + FILL_BATCH);
            let mut bytes = Vec::new();
            for key in batch.clone() {
                append(&mut bytes, &[b"SET", format!("key:{key:012}").as_bytes(), &value]);
            }
            self.stream.get_mut().write_all(&bytes).step("fill")?;
            for _ in batch.clone() {
                self.receive().step("fill")?.map_err(|reply| BenchError::Reply { command: "SET".to_owned(), reply })?;
            }
            batch_start = batch.end;
        }
        Ok(())
    }

    fn send(&mut self, command: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        append(&mut bytes, command);
        self.stream.get_mut().write_all(&bytes)
    }

    /// `Ok(Err(line))` is a reply that is none of the three kinds.
    fn receive(&mut self) -> io::Result<std::result::Result<Vec<u8>, String>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if let Some(length) = line.strip_prefix('$')
            && let Ok(length) = length.parse::<usize>()
        {
            let mut bulk = vec![0; length + 2];
            self.stream.read_exact(&mut bulk)?;
            bulk.truncate(length);
            return Ok(Ok(bulk));
        }
        Ok(match line.strip_prefix(['+', ':']) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(line.to_owned()),
        })
    }
}

fn append(bytes: &mut Vec<u8>, command: &[&[u8]]) {
    bytes.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

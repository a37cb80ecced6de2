//! Frames: replies that Interlay itself understands. Everything else passes through as bytes.
//!
//! In: one complete reply, in either protocol. Out: a [`Frame`] of redis-protocol, always one of RESP3, the larger
//! protocol. The other way round there are only errors: [`error`] writes one, the same in both protocols.

use redis_protocol::resp2::types::OwnedFrame as Resp2Frame;
use redis_protocol::resp3::types::Resp3Frame;
use redis_protocol::{resp2, resp3};

pub use redis_protocol::resp3::types::OwnedFrame as Frame;

use crate::limits::Limits;
use crate::reply::{ReplyError, ReplyScan, ReplyScanner};

/// Protocol version of a connection, as chosen by `HELLO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proto {
    /// What a connection speaks before any `HELLO`.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Decodes `bytes`, exactly one reply of RESP2 or RESP3. Both nils of RESP2 become [`Frame::Null`].
///
/// # Errors
///
/// Those of [`ReplyScanner::scan`] under the default [`Limits`], [`ReplyError::NotOneReply`], and
/// [`ReplyError::Undecodable`].
pub fn decode_reply(bytes: &[u8]) -> Result<Frame, ReplyError> {
    // Scanned first, so that the decoder's recursion and allocations are bounded.
    match ReplyScanner::default().scan(bytes, &Limits::default())? {
        ReplyScan::Complete { len, .. } if len == bytes.len() => {}
        _ => return Err(ReplyError::NotOneReply),
    }
    // A frame's error is text; what the server quotes in it need not be.
    if let [b'-', text @ .., b'\r', b'\n'] = bytes {
        return Ok(Frame::SimpleError { data: String::from_utf8_lossy(text).into_owned(), attributes: None });
    }
    // Only the RESP2 decoder knows RESP2's nils; it refuses whatever is new in RESP3.
    if let Ok(Some((frame, _))) = resp2::decode::decode(bytes) {
        return Ok(from_resp2(frame));
    }
    match resp3::decode::complete::decode(bytes) {
        Ok(Some((mut frame, _))) => {
            restore_order(&mut frame);
            Ok(frame)
        }
        Ok(None) => Err(ReplyError::NotOneReply),
        Err(error) => Err(ReplyError::Undecodable { reason: error.to_string() }),
    }
}

fn from_resp2(frame: Resp2Frame) -> Frame {
    let attributes = None;
    match frame {
        Resp2Frame::SimpleString(data) => Frame::SimpleString { data, attributes },
        Resp2Frame::Error(data) => Frame::SimpleError { data, attributes },
        Resp2Frame::Integer(data) => Frame::Number { data, attributes },
        Resp2Frame::BulkString(data) => Frame::BlobString { data, attributes },
        Resp2Frame::Array(data) => Frame::Array { data: data.into_iter().map(from_resp2).collect(), attributes },
        Resp2Frame::Null => Frame::Null,
    }
}

/// The RESP3 decoder fills its maps from the last entry to the first; here they get the server's order.
fn restore_order(frame: &mut Frame) {
    if let Some(attributes) = frame.attributes_mut() {
        attributes.reverse();
        attributes.values_mut().for_each(restore_order);
    }
    match frame {
        Frame::Array { data, .. } | Frame::Push { data, .. } => data.iter_mut().for_each(restore_order),
        Frame::Map { data, .. } => {
            data.reverse();
            data.values_mut().for_each(restore_order);
        }
        // Keys of maps and members of sets cannot be aggregates themselves.
        _ => {}
    }
}

/// Appends `text`, its line ends replaced by spaces, to `out` as an error reply. It starts with its code: `ERR ...`.
pub fn error(text: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    out.push(b'-');
    out.extend(text.as_ref().iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

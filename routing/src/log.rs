//! The bytes of a lane's requests, from the moment they are queued until they are answered.
//!
//! A request's bytes serve three times: they are written to the server, they become the effect when the reply
//! arrives, and they name the keys if something fails. So they are kept once, here, and nothing else is.
//!
//! ```text
//!   | answered (freed) | written, not answered | not written yet |
//!                      ^ front                 ^ unwritten       ^ push
//! ```
//!
//! Small requests are copied back to back into chunks that are used again; a large one is a chunk of its own that
//! both lanes share. Invariant: a request lies within one chunk, so the front one is always one slice.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Bytes of one chunk of small requests. 64 KiB is what one socket write takes at most on a default Linux loopback.
const CHUNK_BYTES: usize = 64 * 1024;

/// From this size on a request is shared between the lanes and not copied. Below it, copying costs less than a
/// reference count and a slice of its own in the write.
pub const SHARE_FROM_BYTES: usize = 16 * 1024;

/// A queue of request bytes with a write position in it.
#[derive(Debug, Default)]
pub(crate) struct ByteLog {
    chunks: VecDeque<Chunk>,
    /// Where the front request begins in the first chunk.
    front_at: usize,
    /// The chunk, and the place in it, of the first unwritten byte.
    write_chunk: usize,
    write_at: usize,
    len: usize,
    unwritten: usize,
    /// One emptied chunk, kept so that a busy lane does not allocate.
    spare: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Chunk {
    Small(Vec<u8>),
    Shared(Bytes),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl ByteLog {
    /// Bytes queued and not yet answered.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes not yet written. They are the last ones of [`ByteLog::len`].
    pub(crate) fn unwritten_len(&self) -> usize {
        self.unwritten
    }

    /// Bytes written and not yet answered. They are the first ones of [`ByteLog::len`].
    pub(crate) fn written_len(&self) -> usize {
        self.len - self.unwritten
    }

    /// Queues a copy of one request.
    pub(crate) fn push(&mut self, request: &[u8]) {
        if request.len() >= SHARE_FROM_BYTES {
            return self.push_shared(Bytes::copy_from_slice(request));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Small(chunk)) if chunk.len() + request.len() <= CHUNK_BYTES => chunk.extend_from_slice(request),
            _ => {
                let mut chunk = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
                chunk.extend_from_slice(request);
                self.chunks.push_back(Chunk::Small(chunk));
            }
        }
        self.grew(request.len());
    }

    /// Queues one large request without copying it.
    pub(crate) fn push_shared(&mut self, request: Bytes) {
        let len = request.len();
        if self.len == 0 {
            // An emptied chunk may wait here for small requests; it must not stand before this one.
            if let Some(Chunk::Small(emptied)) = self.chunks.pop_front() {
                self.spare = Some(emptied);
            }
            self.write_at = 0;
        }
        self.chunks.push_back(Chunk::Shared(request));
        self.grew(len);
    }

    fn grew(&mut self, by: usize) {
        self.len += by;
        self.unwritten += by;
    }

    /// The oldest `len` bytes: the front request, which the caller knows to be that long.
    pub(crate) fn front(&self, len: usize) -> &[u8] {
        let chunk = self.chunks.front().map_or(&[][..], Chunk::bytes);
        chunk.get(self.front_at..self.front_at + len).unwrap_or_default()
    }

    /// Queues the front request of this log on `other` too.
    pub(crate) fn repeat_front(&self, len: usize, other: &mut Self) {
        match self.chunks.front() {
            Some(Chunk::Shared(request)) if request.len() == len => other.push_shared(request.clone()),
            _ => other.push(self.front(len)),
        }
    }

    /// Frees the front request: it was answered, or its connection is gone and nothing will be written any more.
    pub(crate) fn pop(&mut self, len: usize) {
        self.front_at += len;
        self.len -= len;
        self.unwritten = self.unwritten.min(self.len);
        let Some(front) = self.chunks.front_mut() else { return };
        if self.front_at < front.bytes().len() {
            return;
        }
        self.front_at = 0;
        match front {
            // The only chunk: used again in place. All of it is answered, hence written.
            Chunk::Small(bytes) if self.len == 0 => {
                bytes.clear();
                self.write_at = 0;
            }
            _ => {
                if let Some(Chunk::Small(mut bytes)) = self.chunks.pop_front() {
                    bytes.clear();
                    self.spare = Some(bytes);
                }
                match self.write_chunk.checked_sub(1) {
                    Some(chunk) => self.write_chunk = chunk,
                    // The writer stood at the end of the chunk that is gone.
                    None => self.write_at = 0,
                }
            }
        }
    }

    /// Fills `slices` with what is to be written next, and says how many were filled.
    pub(crate) fn unwritten<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.write_at;
        let mut filled = 0;
        for chunk in self.chunks.iter().skip(self.write_chunk) {
            let Some(slot) = slices.get_mut(filled) else { break };
            let rest = chunk.bytes().get(at..).unwrap_or_default();
            at = 0;
            if !rest.is_empty() {
                *slot = IoSlice::new(rest);
                filled += 1;
            }
        }
        filled
    }

    /// Moves the write position on by `n` bytes, at most [`ByteLog::unwritten_len`].
    pub(crate) fn wrote(&mut self, n: usize) {
        debug_assert!(n <= self.unwritten, "no more is written than was queued");
        self.unwritten -= n;
        let mut left = n;
        while let Some(chunk) = self.chunks.get(self.write_chunk) {
            let rest = chunk.bytes().len() - self.write_at;
            if left < rest || self.write_chunk + 1 == self.chunks.len() {
                self.write_at += left;
                return;
            }
            left -= rest;
            self.write_chunk += 1;
            self.write_at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Write(usize),
        Answer,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let len = prop_oneof![1..200_usize, (SHARE_FROM_BYTES - 2)..(SHARE_FROM_BYTES + 2), 30_000..40_000_usize];
        let step = prop_oneof![3 => len.prop_map(Step::Push), 3 => (0..90_000_usize).prop_map(Step::Write), 2 => Just(Step::Answer)];
        prop::collection::vec(step, 1..120)
    }

    fn next_unwritten(log: &ByteLog) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = log.unwritten(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_written_once_in_order_and_read_back_at_the_front(steps in steps()) {
            let mut log = ByteLog::default();
            let mut other = ByteLog::default();
            let (mut pushed, mut written) = (Vec::new(), Vec::new());
            let mut requests = VecDeque::new();
            let mut answered = 0;
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(len) => {
                        let request: Vec<u8> = (0..len).map(|i| (i * 7 + n) as u8).collect();
                        log.push(&request);
                        pushed.extend_from_slice(&request);
                        requests.push_back(request);
                    }
                    Step::Write(most) => {
                        let next = next_unwritten(&log);
                        let n = next.len().min(most);
                        written.extend_from_slice(&next[..n]);
                        log.wrote(n);
                    }
                    Step::Answer => {
                        let Some(request) = requests.front() else { continue };
                        if answered + request.len() > written.len() { continue }
                        prop_assert_eq!(log.front(request.len()), &request[..]);
                        log.repeat_front(request.len(), &mut other);
                        prop_assert_eq!(other.front(request.len()), &request[..]);
                        other.wrote(request.len());
                        other.pop(request.len());
                        log.pop(request.len());
                        answered += request.len();
                        requests.pop_front();
                    }
                }
                prop_assert_eq!(log.len(), pushed.len() - answered);
                prop_assert_eq!(log.unwritten_len(), pushed.len() - written.len());
            }
            while log.unwritten_len() > 0 {
                let next = next_unwritten(&log);
                written.extend_from_slice(&next);
                log.wrote(next.len());
            }
            prop_assert_eq!(written, pushed);
        }
    }
}

//! Writes to a key of which some pieces are copied and some are not.
//!
//! Most make the copy begin anew. Those of [`FOLLOWED`] leave it exact, so that a key that is always written can be copied in
//! pieces: they go onto the secondary's lane between the pieces, or need not, as `copy/chunk.rs` says. What they come to there
//! may be another thing while the key is not whole, and so is the reply; the piece that is still to come puts that right.

use interlay_resp::Request;

use super::LanePair;
use crate::keys::view;

/// What a write to a key that is being copied in pieces needs for the copy to be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// To be repeated between the pieces: it names the elements that it writes.
    Repeated,
    /// Nothing: what it has changed is read with the last piece.
    Read,
}

/// In the order of their names. What looks at other elements than it writes, at ranks or at deadlines is not among them.
const FOLLOWED: &[(&str, Follow)] = &[
    ("append", Follow::Repeated),
    ("hdel", Follow::Repeated),
    ("hincrby", Follow::Repeated),
    ("hincrbyfloat", Follow::Repeated),
    ("hmset", Follow::Repeated),
    ("hset", Follow::Repeated),
    ("hsetnx", Follow::Repeated),
    ("sadd", Follow::Repeated),
    ("setbit", Follow::Repeated),
    ("setrange", Follow::Repeated),
    ("spop", Follow::Repeated),
    ("srem", Follow::Repeated),
    ("xack", Follow::Read),
    ("xadd", Follow::Read),
    ("xautoclaim", Follow::Read),
    ("xclaim", Follow::Read),
    ("xdel", Follow::Repeated),
    ("xgroup", Follow::Read),
    ("xreadgroup", Follow::Read),
    ("xsetid", Follow::Read),
    ("zadd", Follow::Repeated),
    ("zincrby", Follow::Repeated),
    ("zrem", Follow::Repeated),
];

/// How a copy in pieces of the request's only key is kept exact; none if it has to begin anew.
fn followed(request: Request<'_>) -> Option<Follow> {
    let name = request.name().to_ascii_lowercase();
    let at = FOLLOWED.binary_search_by(|(followed, _)| followed.as_bytes().cmp(&name)).ok()?;
    let (_, follow) = FOLLOWED.get(at)?;
    // How many entries there are to trim is not the same while the stream is not whole.
    let trims = |arg: &[u8]| arg.eq_ignore_ascii_case(b"MAXLEN") || arg.eq_ignore_ascii_case(b"MINID");
    (name != b"xadd" || !request.args().skip(2).take(2).any(trims)).then_some(*follow)
}

impl LanePair {
    /// What the authority's front request needs, of `len` bytes, if its only key is being copied in pieces and can stay so.
    pub(super) fn follow_pieces(&mut self, db: u32, len: usize) -> Option<Follow> {
        let request = view(self.lanes[self.authority].log.front(len));
        let follow = followed(request)?;
        let keys = self.keys.copied(request);
        let [key] = keys.as_slice() else { return None };
        self.dirty.is_in_pieces(db, key).then_some(follow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Option<Follow> {
        let mut bytes = Vec::new();
        interlay_resp::encode_request(line.split(' ').collect::<Vec<_>>(), &mut bytes);
        followed(view(&bytes))
    }

    #[test]
    fn writes_to_named_elements_are_followed_and_others_are_not() {
        assert!(FOLLOWED.is_sorted_by_key(|(name, _)| name));
        for line in ["HSET k f v", "zadd k XX 1 m", "SPOP k 3", "APPEND k tail", "XDEL k 1-1"] {
            assert_eq!(asked(line), Some(Follow::Repeated), "{line}");
        }
        assert_eq!(asked("XADD k * f v"), Some(Follow::Read));
        for line in [
            "RPUSH k v",
            "DEL k",
            "SET k v",
            "ZPOPMIN k",
            "ZREMRANGEBYSCORE k 1 2",
            "PEXPIRE k 5",
            "BITFIELD k SET u8 0 1",
            "XTRIM k MAXLEN 5",
        ] {
            assert_eq!(asked(line), None, "{line}");
        }
        for line in ["XADD k MAXLEN 5 * f v", "XADD k NOMKSTREAM minid 5 * f v"] {
            assert_eq!(asked(line), None, "{line}");
        }
    }
}

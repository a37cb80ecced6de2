//! One client's replies in the order of its requests, whatever order they come in.
//!
//! A client's replies may come from two lanes, from Interlay itself at once, or late because a policy holds them.
//! The usual reply is the next one due and goes straight out; only an early one is kept.

use std::collections::VecDeque;

/// The place of a request among its client's requests. Wraps.
pub type Seq = u32;

/// The replies one client waits for.
#[derive(Debug, Default)]
pub struct ReplyOrder {
    issued: Seq,
    due: Seq,
    /// Early replies; the first slot is that of `due`. Empty in the usual case.
    early: VecDeque<Early>,
    early_bytes: usize,
    /// The reply that is due has begun.
    begun: bool,
}

#[derive(Debug, Default)]
struct Early {
    bytes: Vec<u8>,
    whole: bool,
}

impl ReplyOrder {
    /// Takes a number for the next request.
    pub fn issue(&mut self) -> Seq {
        let seq = self.issued;
        self.issued = self.issued.wrapping_add(1);
        seq
    }

    /// Requests not yet answered.
    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.issued.wrapping_sub(self.due)
    }

    /// Bytes of replies that came before their turn.
    #[must_use]
    pub fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Whether the reply that is due has begun and is not complete, so that nothing may come between.
    #[must_use]
    pub fn is_amid_reply(&self) -> bool {
        self.begun
    }

    /// Whether request `seq` was answered.
    #[must_use]
    pub fn is_answered(&self, seq: Seq) -> bool {
        // Distances within half the range: no client has 2^31 requests unanswered.
        self.due.wrapping_sub(seq).wrapping_sub(1) < u32::MAX / 2
    }

    /// Takes bytes of the reply to `seq`, the last ones if `whole`, and appends what is due now to `out`.
    pub fn reply(&mut self, seq: Seq, bytes: &[u8], whole: bool, out: &mut Vec<u8>) {
        let ahead = seq.wrapping_sub(self.due) as usize;
        if ahead > 0 {
            if self.early.len() <= ahead {
                self.early.resize_with(ahead + 1, Early::default);
            }
            if let Some(slot) = self.early.get_mut(ahead) {
                slot.bytes.extend_from_slice(bytes);
                self.early_bytes += bytes.len();
                slot.whole = whole;
            }
            return;
        }
        out.extend_from_slice(bytes);
        self.begun = !whole && (self.begun || !bytes.is_empty());
        if whole {
            self.next(out);
        }
    }

    /// The due reply is out: moves on, past the early ones that follow it.
    fn next(&mut self, out: &mut Vec<u8>) {
        loop {
            self.due = self.due.wrapping_add(1);
            self.early.pop_front();
            let Some(slot) = self.early.front_mut() else { return };
            self.early_bytes -= slot.bytes.len();
            self.begun = !slot.whole && !slot.bytes.is_empty();
            out.append(&mut slot.bytes);
            if !slot.whole {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn replies_leave_in_request_order_whatever_order_they_come_in(arrival in Just((0..20_u32).collect::<Vec<_>>()).prop_shuffle(), start in prop_oneof![Just(0), Just(u32::MAX - 5)]) {
            let mut order = ReplyOrder { issued: start, due: start, ..ReplyOrder::default() };
            for _ in 0..20 {
                order.issue();
            }
            let mut out = Vec::new();
            for n in &arrival {
                order.reply(start.wrapping_add(*n), &[*n as u8], false, &mut out);
                order.reply(start.wrapping_add(*n), &[100 + *n as u8], true, &mut out);
                prop_assert!(arrival.contains(n) && (order.is_answered(start.wrapping_add(*n)) == out.contains(&(100 + *n as u8))));
            }
            let expected: Vec<u8> = (0..20).flat_map(|n| [n, 100 + n]).collect();
            prop_assert_eq!(out, expected);
            prop_assert_eq!(order.unanswered(), 0);
            prop_assert!(order.early.is_empty() && order.early_bytes() == 0);
        }
    }
}

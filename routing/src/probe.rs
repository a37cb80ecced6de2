//! How long a side takes to answer: a request of Interlay's own goes down its lane now and then, behind whatever is there.

use std::collections::VecDeque;

/// Answers that are remembered.
const KEPT: usize = 50;

/// How long a side has taken to answer of late. Unit: milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyTimes {
    /// Half of the answers came within this.
    pub median_ms: u64,
    /// The longest that one took of some fifty, or that one is waited for now.
    pub worst_ms: u64,
}

/// A side's last answers.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    took_ms: VecDeque<u64>,
    /// When the one was sent that is not answered.
    pub(crate) sent_ms: Option<u64>,
}

impl Probe {
    /// What was sent at `sent_ms` is answered at `now_ms`.
    pub(crate) fn answered(&mut self, sent_ms: u64, now_ms: u64) {
        if self.sent_ms.take_if(|sent| *sent == sent_ms).is_none() {
            return;
        }
        if self.took_ms.len() >= KEPT {
            self.took_ms.pop_front();
        }
        self.took_ms.push_back(now_ms.saturating_sub(sent_ms));
    }

    /// What is known at `now_ms`; none before anything was asked.
    pub(crate) fn times(&self, now_ms: u64) -> Option<ReplyTimes> {
        let waits_ms = self.sent_ms.map(|sent_ms| now_ms.saturating_sub(sent_ms));
        let mut took_ms: Vec<u64> = self.took_ms.iter().copied().collect();
        took_ms.sort_unstable();
        let worst_ms = took_ms.last().copied().max(waits_ms)?;
        Some(ReplyTimes { median_ms: took_ms.get(took_ms.len() / 2).copied().unwrap_or(worst_ms), worst_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_counts_as_long_as_it_is() {
        let mut probe = Probe::default();
        assert_eq!(probe.times(0), None);
        for (sent_ms, took_ms) in [(100, 1), (200, 2), (300, 9)] {
            probe.sent_ms = Some(sent_ms);
            probe.answered(sent_ms, sent_ms + took_ms);
        }
        assert_eq!(probe.times(400), Some(ReplyTimes { median_ms: 2, worst_ms: 9 }));
        probe.sent_ms = Some(400);
        assert_eq!(probe.times(900), Some(ReplyTimes { median_ms: 2, worst_ms: 500 }));
        probe.answered(300, 901);
        assert_eq!(probe.times(900).map(|times| times.worst_ms), Some(500), "an answer to another one");
    }
}

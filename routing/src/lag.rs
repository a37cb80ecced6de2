//! How old the oldest unanswered effect is, without a time stamp on each.

use std::collections::VecDeque;

/// How exact that is. Unit: milliseconds.
const EXACT_MS: u64 = 10;

/// When how many effects had been put onto the secondary's lane.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// In order: effects so far, and when.
    marks: VecDeque<(u64, u64)>,
}

impl Lag {
    /// So many effects were put onto the lane by `now_ms`, and so many of them are answered.
    pub(crate) fn note(&mut self, effects: u64, answered: u64, now_ms: u64) {
        while self.marks.front().is_some_and(|(count, _)| *count <= answered) {
            self.marks.pop_front();
        }
        let is_new = effects > answered && self.marks.back().is_none_or(|(count, at_ms)| *count < effects && now_ms >= at_ms + EXACT_MS);
        if is_new {
            self.marks.push_back((effects, now_ms));
        }
    }

    /// The age of the oldest effect that is not answered.
    pub(crate) fn oldest_ms(&self, answered: u64, now_ms: u64) -> u64 {
        let oldest = self.marks.iter().find(|(count, _)| *count > answered);
        oldest.map_or(0, |(_, at_ms)| now_ms.saturating_sub(*at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unanswered_one_counts() {
        let mut lag = Lag::default();
        for (effects, answered, now_ms) in [(5, 0, 100), (6, 0, 105), (9, 0, 120), (9, 5, 200)] {
            lag.note(effects, answered, now_ms);
        }
        assert_eq!(lag.oldest_ms(0, 200), 80);
        assert_eq!(lag.oldest_ms(5, 200), 80);
        lag.note(9, 9, 300);
        assert_eq!(lag.oldest_ms(9, 300), 0);
    }
}

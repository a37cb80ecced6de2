//! The connection between the pair and one server: two pipes that cut, delay and lose bytes, but never reorder them.

use std::collections::VecDeque;

use super::agenda::Instant;
use super::rng::Rng;

/// Chunks under way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    chunks: VecDeque<Vec<u8>>,
    last_arrival: Instant,
}

impl Pipe {
    /// Takes a chunk, and says when it arrives: not before those ahead of it.
    pub(crate) fn send(&mut self, bytes: Vec<u8>, at: Instant) -> Instant {
        self.chunks.push_back(bytes);
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// Takes bytes cut into chunks anyhow. Gives the arrivals.
    pub(crate) fn send_cut(&mut self, mut bytes: Vec<u8>, now: Instant, delay_max: u64, rng: &mut Rng) -> Vec<Instant> {
        let mut arrivals = Vec::new();
        while !bytes.is_empty() {
            let rest = if rng.chance(70) { Vec::new() } else { bytes.split_off(rng.between(1, bytes.len() as u64 + 1) as usize) };
            arrivals.push(self.send(bytes, now + rng.between(0, delay_max)));
            bytes = rest;
        }
        arrivals
    }

    pub(crate) fn arrive(&mut self) -> Option<Vec<u8>> {
        self.chunks.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Counts connections, so that what was planned for a former one can be told.
    pub(crate) generation: u32,
    pub(crate) up: bool,
    pub(crate) to_server: Pipe,
    pub(crate) to_pair: Pipe,
    /// A write is planned.
    pub(crate) writing: bool,
    /// An execution is planned.
    pub(crate) stepping: bool,
    /// The server has become another process since.
    pub(crate) restarted: bool,
    /// The server has broken the protocol: the pair must notice when it reads it.
    pub(crate) poisoned: bool,
}

impl Link {
    /// The connection is gone, with all that was under way.
    pub(crate) fn close(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }
}

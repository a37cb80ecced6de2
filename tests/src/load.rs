//! Connections that send requests, without pause, until told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::conn::{Conn, is_error, text};
use crate::eventually::eventually;
use crate::rng::Rng;

/// Requests in one pipeline at most.
const PIPELINE_MAX: u64 = 40;

/// What a connection sends next, as arguments. [`crate::mix`] has some.
pub type Mix = fn(&mut Rng) -> Vec<Vec<u8>>;

/// Connections under load, each with a thread. To be ended with [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    replies: Arc<AtomicU64>,
    threads: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

impl Load {
    /// Starts `connections` to a loopback port, every second one in RESP3. They send requests of `mix` in pipelines of
    /// 1 to 40, wait for the replies, and go on.
    #[must_use]
    pub fn start(port: u16, connections: u64, rng: &Rng, mix: Mix) -> Self {
        let (stop, replies) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..connections).map(|number| {
            let (stop, replies, mut rng) = (Arc::clone(&stop), Arc::clone(&replies), rng.fork(number));
            std::thread::spawn(move || {
                let mut conn = Conn::to(port);
                if number % 2 == 1 {
                    assert_eq!(conn.call(["HELLO", "3"]).first(), Some(&b'%'));
                }
                let mut errors = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    // Half of all batches are single requests.
                    let len = if rng.below(2) == 0 { 1 } else { 1 + rng.below(PIPELINE_MAX) };
                    let requests: Vec<_> = (0..len).map(|_| Conn::encode(mix(&mut rng))).collect();
                    for reply in conn.pipeline(&requests) {
                        if is_error(&reply) {
                            *errors.entry(text(&reply)).or_default() += 1;
                        }
                    }
                    replies.fetch_add(len, Ordering::Relaxed);
                }
                errors
            })
        });
        Self { threads: threads.collect(), stop, replies }
    }

    /// Waits until `replies` more replies have come.
    pub fn go_on_for(&self, replies: u64) {
        let until = self.replies.load(Ordering::Relaxed) + replies;
        eventually("the load gets its replies", || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a connection of the load has failed");
            self.replies.load(Ordering::Relaxed) >= until
        });
    }

    /// Ends the load once every reply has come, and returns the error replies by text, with how often each came.
    ///
    /// # Panics
    ///
    /// If a connection was lost or a reply did not come.
    pub fn stop(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = BTreeMap::new();
        for thread in self.threads {
            for (error, times) in thread.join().expect("every connection gets its replies") {
                *errors.entry(error).or_default() += times;
            }
        }
        errors
    }

    /// [`Load::stop`], where every error has to be a server's own: none is Interlay's.
    ///
    /// # Panics
    ///
    /// If one is, with all of them.
    pub fn stop_without_errors(self) {
        let mut errors = self.stop();
        errors.retain(|error, _| error.contains("interlay"));
        assert!(errors.is_empty(), "clients got errors: {errors:#?}");
    }
}

//! The clients of the live load: each sends batches of requests from the table, pipelined, and reads every reply.
//!
//! Clients of one database share most keys, so that their writes collide. Each client also begins a batch by reading
//! what the last one wrote: an acknowledged write that cannot be read back is an error.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

use super::connection::{Connection, encode};
use super::load::{self, Dice};

/// Clients at once.
pub(super) const CLIENTS: u64 = 6;

/// Databases that the clients are spread over.
const DBS: u64 = 4;

/// Draws from the table in one batch, by client in turn.
const DEPTHS: [usize; 4] = [1, 4, 16, 64];

/// Keys of a client's own, for its writes that are read back: enough that the split takes some of them.
const OWN_KEYS: u64 = 32;

/// The family of each client's own writes and reads.
const READ_BACK: &str = "read back";

/// What the clients have done, all together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) families: BTreeMap<&'static str, Counts>,
    /// What the first errors said.
    pub(super) complaints: Vec<String>,
}

/// Requests of one family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Answered.
    pub(super) requests: u64,
    /// Answered by an error, or by something else than what was written.
    pub(super) errors: u64,
}

impl Tally {
    /// Enough to see what went wrong.
    const COMPLAINTS_MAX: usize = 5;

    pub(super) fn total(&self) -> Counts {
        self.families
            .values()
            .fold(Counts::default(), |sum, counts| Counts { requests: sum.requests + counts.requests, errors: sum.errors + counts.errors })
    }

    fn answered(&mut self, family: &'static str, complaint: Option<String>) {
        let counts = self.families.entry(family).or_default();
        counts.requests += 1;
        counts.errors += u64::from(complaint.is_some());
        if self.complaints.len() < Self::COMPLAINTS_MAX {
            self.complaints.extend(complaint);
        }
    }
}

/// The clients at work. Dropped, they stop at once.
pub(super) struct Writers {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tally: Mutex<Tally>,
    stop: AtomicBool,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writers {
    /// Connects all clients to `port` and lets them work until [`Writers::stop`].
    pub(super) fn start(port: u16, seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let shared = Arc::clone(&shared);
            clients.spawn(async move {
                if let Err(error) = work(port, client, Dice::new(seed, client), &shared).await {
                    shared.tally().answered("connections", Some(format!("client {client} lost its connection: {error}")));
                }
            });
        }
        Self { clients, shared }
    }

    /// What they have done so far.
    pub(super) fn total(&self) -> Counts {
        self.shared.tally().total()
    }

    /// Lets every client read the replies to what it has sent.
    pub(super) async fn stop(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut *self.shared.tally())
    }
}

/// One client's work.
async fn work(port: u16, client: u64, mut dice: Dice, shared: &Shared) -> io::Result<()> {
    let mut connection = Connection::to(port).await?;
    connection.call(&format!("SELECT {}", client % DBS)).await?;
    let depth = DEPTHS[client as usize % DEPTHS.len()];
    let (mut requests, mut families) = (Vec::new(), Vec::new());
    let mut written = b"$-1\r\n".to_vec();
    for batch in 1.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        requests.clear();
        families.clear();
        let mut add = |family, request: &str| {
            encode(request, &mut requests);
            families.push(family);
        };
        // At the front, where nothing is unanswered, so that the split may send it to the target.
        add(READ_BACK, &format!("GET own:{client}:{}", (batch - 1) % OWN_KEYS));
        for _ in 0..depth {
            let row = load::draw(&mut dice);
            (row.make)(&mut dice).lines().for_each(|request| add(row.family, request));
        }
        add(READ_BACK, &format!("SET own:{client}:{} {batch}", batch % OWN_KEYS));

        connection.send(&requests).await?;
        for (place, family) in families.iter().enumerate() {
            let reply = connection.reply().await?;
            let wrong = reply.starts_with(b"-") || (place == 0 && reply != written);
            let complaint = wrong.then(|| format!("{family}: {}", reply.escape_ascii()));
            shared.tally().answered(family, complaint);
        }
        let value = batch.to_string();
        written = format!("${}\r\n{value}\r\n", value.len()).into_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_keeps_every_count_and_the_first_complaints() {
        let mut tally = Tally::default();
        for number in 0..10 {
            tally.answered("lists", Some(number.to_string()));
            tally.answered("sets", None);
        }
        let total = tally.total();
        assert_eq!((total.requests, total.errors), (20, 10));
        assert_eq!(tally.complaints, ["0", "1", "2", "3", "4"]);
    }
}

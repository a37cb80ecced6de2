//! What a seed's run is made of: how many clients, how much traffic, and which kinds of trouble.

use interlay_routing::{Abilities, BySide, DirtyLimits, PairLimits, Policy};

use super::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Nothing goes wrong and every write can be repeated: so nothing may be dirty at the end.
    pub(crate) calm: bool,
    pub(crate) clients: usize,
    /// Requests of all clients together.
    pub(crate) requests: usize,
    /// Keys of each type.
    pub(crate) keys: u64,
    pub(crate) policy: Policy,
    pub(crate) split: u8,
    /// The share of the reads that is compared. Unit: per cent.
    pub(crate) shadow: u8,
    pub(crate) limits: PairLimits,
    pub(crate) abilities: BySide<Abilities>,
    /// The longest time a piece of data is under way to or from a side.
    pub(crate) delay_max: BySide<u64>,
    /// The operator changes policy and split.
    pub(crate) operator: bool,
    /// Best-effort is one of the policies: nothing can be said of equality then.
    pub(crate) best_effort: bool,
    /// Connections are lost.
    pub(crate) cuts: bool,
    /// Servers refuse writes for want of memory.
    pub(crate) refusals: bool,
    /// Servers stop for a while.
    pub(crate) stalls: bool,
    /// Servers come back without their data.
    pub(crate) restarts: bool,
    /// Servers break the protocol.
    pub(crate) malice: bool,
    /// SPOP, EXPIRE and the like.
    pub(crate) unrepeatable: bool,
    /// Writes that the command table does not know.
    pub(crate) unknown: bool,
    /// Deadlines pass during the run, between a write and its effect too.
    pub(crate) deadlines: bool,
    /// Keys of every type expire, and not only those whose writes tell whether the key was there.
    pub(crate) expiring: bool,
    /// How far the servers' clocks are ahead of Interlay's. Unit: milliseconds.
    pub(crate) clocks: BySide<i64>,
    /// The newest format of DUMP payloads that each server knows.
    pub(crate) formats: BySide<u8>,
    /// Some keys cannot be copied for a while.
    pub(crate) curses: bool,
    /// Clients send MULTI ... EXEC whole.
    pub(crate) transactions: bool,
    /// Clients wait for elements of lists.
    pub(crate) waiting: bool,
    /// Clients carry something out on connections of their own.
    pub(crate) sections: bool,
}

impl Scenario {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let calm = rng.chance(20);
        let best_effort = rng.chance(15);
        let policies = Policy::ALL.map(|(policy, _)| policy);
        let policies: Vec<Policy> = policies.into_iter().filter(|policy| best_effort || *policy != Policy::BestEffort).collect();
        let databases = rng.between(2, 4) as u32;
        let mut trouble = |percent| !calm && rng.chance(percent);
        let (fewer_databases, tight) = (trouble(10), trouble(30));
        let (cuts, refusals, stalls, restarts) = (trouble(60), trouble(30), trouble(30), trouble(10));
        let (malice, unrepeatable, unknown, deadlines) = (trouble(15), trouble(50), trouble(10), trouble(30));
        let (expiring, curses, foreign, astray) = (deadlines && trouble(60), trouble(20), trouble(25), trouble(30));
        let mut clock = || if astray && rng.chance(70) { rng.between(0, 4000) as i64 - 2000 } else { 0 };
        let clocks = BySide { source: clock(), target: clock() };
        let formats = BySide { source: 1 + u8::from(foreign), target: 1 + u8::from(foreign && rng.chance(20)) };
        let mut abilities = || Abilities { databases, resp3: rng.chance(85), since_7_0: rng.chance(70) };
        let (source, mut target) = (abilities(), abilities());
        target.databases -= u32::from(fewer_databases);
        Self {
            calm,
            clients: rng.between(2, 7) as usize,
            requests: rng.between(50, 180) as usize,
            keys: rng.pick(&[1, 2, 3, 10]),
            policy: rng.pick(&policies),
            split: rng.pick(&[0, 50, 100, 100]),
            limits: if tight { tight_limits(rng) } else { PairLimits::default() },
            abilities: BySide { source, target },
            delay_max: BySide { source: rng.pick(&[1, 5, 30]), target: rng.pick(&[1, 5, 30, 100]) },
            operator: rng.chance(60),
            best_effort,
            cuts,
            refusals,
            stalls,
            restarts,
            malice,
            unrepeatable,
            unknown,
            deadlines,
            expiring,
            clocks,
            formats,
            curses,
            transactions: rng.chance(50),
            waiting: rng.chance(50),
            sections: rng.chance(40),
            shadow: rng.pick(&[0, 50, 100]),
        }
    }
}

fn tight_limits(rng: &mut Rng) -> PairLimits {
    PairLimits {
        authority_backlog_bytes_max: rng.between(150, 800) as usize,
        effect_queue_bytes_max: rng.between(100, 800) as usize,
        dirty: DirtyLimits { keys_max: rng.between(3, 50) as usize, bytes_max: rng.between(150, 2000) as usize },
        copies_bytes_max: rng.between(0, 300),
        chunk_from_bytes: if rng.chance(50) { rng.between(1, 70) } else { 1 << 20 },
        deadlines_bytes_max: rng.between(0, 600) as usize,
        ..PairLimits::default()
    }
}

//! What must hold of clients that wait: first come, first served; each served once; none for a client that is gone.

use std::collections::BTreeSet;

use interlay_routing::{Over, Side, Ticket};

use super::{Checker, Record, Role, Verdict, shown};
use crate::sim::agenda::Instant;
use crate::sim::server::{Part, Tag};
use crate::sim::store::Key;

/// A request that waits for an element.
#[derive(Debug)]
pub(crate) struct Wait {
    ticket: Ticket,
    pub(crate) until: Option<Instant>,
    /// What another client or its own said.
    ended: Option<Over>,
    /// Errors that a server gave to a try of it.
    refusals: Vec<Vec<u8>>,
    /// The last try got one, because of one of its keys: it has not looked at the others, and may be overtaken there.
    refused: bool,
    /// No try of it has been under way since this is true.
    idle: bool,
    /// Its client went while a try may have been under way, with so many lanes lost before.
    left: Option<u64>,
}

impl Wait {
    pub(crate) fn new(ticket: Ticket, until: Option<Instant>) -> Self {
        Self { ticket, until, ended: None, refusals: Vec::new(), refused: false, idle: false, left: None }
    }
}

impl Checker {
    /// The pair has taken a request that waits.
    pub(crate) fn parked(&mut self, tag: Tag) {
        self.waiting.push(tag);
    }

    /// The pair has answered, whether or not the client can read it yet.
    pub(crate) fn waits_no_longer(&mut self, ticket: Ticket) {
        let records = &self.records;
        self.waiting.retain(|tag| !matches!(&records[*tag].role, Role::Waiter(wait) if wait.ticket == ticket));
    }

    fn wait(&mut self, tag: Tag) -> Option<&mut Wait> {
        match &mut self.records.get_mut(tag)?.role {
            Role::Waiter(wait) => Some(wait),
            _ => None,
        }
    }

    /// A client's waiting was ended by the client itself or another one; `at_once` if the pair lets it wait no longer.
    pub(crate) fn ended(&mut self, tag: Tag, over: Over, at_once: bool) {
        let losses = self.losses;
        let Some(wait) = self.wait(tag) else { return };
        wait.ended.get_or_insert(over);
        if over == Over::Left {
            // Whatever is tried from now on would be lost.
            wait.left = Some(if at_once { 0 } else { losses });
        }
        self.waiting.retain(|waiting| *waiting != tag);
    }

    /// The authority's lane is gone, or empty for good.
    pub(crate) fn lost(&mut self) {
        self.losses += 1;
    }

    /// The authority's lane is empty: no try is under way.
    pub(crate) fn no_try_under_way(&mut self) {
        for tag in self.waiting.clone() {
            if let Some(wait) = self.wait(tag) {
                wait.idle = true;
            }
        }
    }

    /// Whether a server had an error for a try of this request.
    pub(crate) fn was_refused(&self, tag: Tag) -> bool {
        matches!(&self.record(tag).role, Role::Waiter(wait) if !wait.refusals.is_empty())
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> &[Tag] {
        &self.waiting
    }

    /// The authority has refused a try before it was one.
    pub(super) fn not_even_tried(&mut self, tag: Tag, reply: &[u8]) {
        if let Some(wait) = self.wait(tag) {
            wait.refusals.push(reply.to_vec());
            (wait.refused, wait.idle) = (true, false);
        }
    }

    /// The authority has executed a try; true if it found something.
    pub(super) fn tried(&mut self, tag: Tag, authority: Side, part: &Part, touched: &BTreeSet<(u32, Key)>) -> Result<bool, String> {
        let (losses, term) = (self.losses, self.term);
        let Some(wait) = self.wait(tag) else { return Ok(true) };
        if part.failed {
            wait.refusals.push(part.reply.clone());
        }
        (wait.refused, wait.idle) = (part.failed, false);
        if part.failed || part.found_nothing {
            return Ok(false);
        }
        if wait.left.is_some_and(|left| left < losses) {
            return Err(format!("#{tag} {} was served although its client had gone before the try", shown(&part.args)));
        }
        let from =
            if part.args.len() > 3 || part.args[0] == b"BRPOPLPUSH" { Some(&part.args[1]) } else { touched.first().map(|(_, key)| key) };
        let from = from.ok_or("what waited was served from nowhere")?;
        let db = part.session.db;
        let earlier =
            || self.waiting.iter().copied().take_while(|earlier| *earlier != tag).map(|earlier| (earlier, &self.records[earlier]));
        let waits = |record: &Record, key: &Key| record.session.db == db && waits_for(&record.args, key);
        // Whoever is first for one of its keys may be tried at any time, and takes what it finds first.
        let is_first = |key: &Key| waits_for(&part.args, key) && key != from && !earlier().any(|(_, record)| waits(record, key));
        let idle = |record: &Record| matches!(&record.role, Role::Waiter(Wait { idle: true, refused: false, .. }));
        let first = earlier().find(|(_, record)| idle(record) && waits(record, from)).map(|(first, _)| first);
        if let Some(first) = first.filter(|_| self.waiting.contains(&tag) && !part.args[1..].iter().any(is_first)) {
            return Err(format!("#{tag} {} was served before #{first}, which came first", shown(&part.args)));
        }
        self.waiting.retain(|waiting| *waiting != tag);
        let same_term = self.records[tag].term == term;
        let record = &mut self.records[tag];
        record.authority = authority;
        record.term = if same_term { term } else { 0 };
        Ok(true)
    }

    /// A client that waited reads something that is not the element.
    pub(super) fn unserved(&mut self, tag: Tag, reply: &[u8], now: Instant) -> Verdict {
        let Some(wait) = self.wait(tag) else { return Ok(()) };
        let due = wait.until.is_some_and(|until| until <= now);
        let told = match reply {
            b"*-1\r\n" | b"_\r\n" => due || wait.ended == Some(Over::Unblocked),
            _ if reply.starts_with(b"-UNBLOCKED ") => wait.ended == Some(Over::UnblockedWithError),
            _ => wait.refusals.iter().any(|refusal| refusal == reply),
        };
        let record = &self.records[tag];
        if !told || Side::BOTH.iter().any(|side| record.ran[*side].is_some()) {
            return Err(format!("#{tag} {} waited for an element and got {}", shown(&record.args), shown(&[reply])));
        }
        Ok(())
    }
}

/// Whether a waiting request takes from `key`.
fn waits_for(args: &[Vec<u8>], key: &Key) -> bool {
    match &*args[0] {
        b"BLMOVE" | b"BRPOPLPUSH" => args[1] == *key,
        _ => args[1..].contains(key),
    }
}

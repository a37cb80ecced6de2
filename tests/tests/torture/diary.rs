//! What was lately done to each key, for the report of a difference.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use interlay_tests::text;

use super::form::Drawn;

/// Requests kept for each key.
const KEPT: usize = 20;

/// Bytes shown of a request and of a reply.
const SHOWN: usize = 160;

/// Under this name stands what concerns every key.
const EVERY_KEY: &[u8] = b"every key";

/// The last requests for each key, of all clients.
#[derive(Debug)]
pub(crate) struct Diary {
    start: Instant,
    pages: Mutex<HashMap<Vec<u8>, VecDeque<Entry>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    sent: Duration,
    answered: Duration,
    client: u64,
    db: Vec<u8>,
    request: String,
    reply: String,
}

impl Diary {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), pages: Mutex::default() }
    }

    /// Notes a request and its reply; without one, the connection has ended.
    pub(crate) fn note(&self, client: u64, db: &[u8], sent: Instant, request: &Drawn, reply: Option<&[u8]>) {
        let short = |bytes: &[u8]| text(&bytes[..bytes.len().min(SHOWN)]);
        let entry = Entry {
            sent: sent - self.start,
            answered: self.start.elapsed(),
            client,
            db: db.to_vec(),
            request: short(&request.args.join(&b' ')),
            reply: reply.map_or_else(|| "no reply".to_owned(), short),
        };
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = matches!(&*request.args[0], b"FLUSHDB" | b"FLUSHALL" | b"SWAPDB");
        for key in request.keys.iter().map(|key| &**key).chain(of_all.then_some(EVERY_KEY)) {
            let page = pages.entry(key.to_vec()).or_default();
            if page.len() == KEPT {
                page.pop_front();
            }
            page.push_back(entry.clone());
        }
    }

    /// The page of a key, and what concerned every key meanwhile.
    pub(crate) fn page(&self, key: &[u8]) -> String {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let own = pages.get(key).into_iter().flatten();
        let since = own.clone().map(|entry| entry.sent).min().unwrap_or_default();
        let of_all = pages.get(EVERY_KEY).into_iter().flatten().filter(|entry| entry.answered >= since);
        let mut entries: Vec<_> = own.chain(of_all).collect();
        entries.sort_by_key(|entry| entry.answered);
        let mut page = String::new();
        for Entry { sent, answered, client, db, request, reply } in entries {
            let db = text(db);
            _ = writeln!(page, "    {sent:10.3?}..{answered:10.3?} client {client:2} db {db}: {request}  ->  {reply}");
        }
        page
    }
}

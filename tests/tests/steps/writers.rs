//! Clients that remember what they were told: every acknowledged write has to be found in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use interlay_tests::{Conn, PATIENCE, Server, is_error, text};

/// Clients at once, each with keys of its own.
const WRITERS: usize = 4;

/// Keys that a client sets again and again.
const REGISTERS: u64 = 8;

/// Elements of a list, before the next one is begun.
const LIST_LEN: u64 = 100;

/// Between two attempts to get an answer.
const PAUSE: Duration = Duration::from_millis(5);

/// A script that sets its key to its argument: the key is copied.
const SETS: &str = "return redis.call('SET', KEYS[1], ARGV[1])";

/// What a client knows of its keys.
#[derive(Debug, Default)]
struct Diary {
    /// The last value that was sent.
    at: u64,
    /// By register: the last value that was acknowledged, and the last one that was sent.
    registers: BTreeMap<String, (u64, u64)>,
    /// By list: what was acknowledged, in order.
    lists: BTreeMap<String, Vec<u64>>,
}

/// Clients under way, to be ended with [`Writers::stop`].
#[derive(Debug)]
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    /// The last refusal.
    refusal: Arc<Mutex<String>>,
    threads: Vec<JoinHandle<Diary>>,
}

impl Writers {
    /// Starts them, with what they were told before; `port` has to be one at which somebody always listens.
    pub(crate) fn start(port: u16, told: Acknowledged) -> Self {
        let (stop, acknowledged, refusal) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let threads = (0..).zip(told.0).map(|(number, diary)| {
            let (stop, acknowledged, refusal) = (Arc::clone(&stop), Arc::clone(&acknowledged), Arc::clone(&refusal));
            std::thread::spawn(move || {
                let mut writer = Writer { number, diary, acknowledged, refusal };
                while !stop.load(Ordering::Relaxed) {
                    writer.live(&mut Conn::to(port), &stop);
                    std::thread::park_timeout(PAUSE);
                }
                writer.diary
            })
        });
        Self { threads: threads.collect(), stop, acknowledged, refusal }
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) fn go_on_for(&self, writes: u64) {
        let until = self.acknowledged.load(Ordering::Relaxed) + writes;
        let until_then = || format!("writes are acknowledged; the last one that was not: {}", lock(&self.refusal));
        let began = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < until {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a writer has failed");
            assert!(began.elapsed() < PATIENCE, "waited in vain: {}", until_then());
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Ends them.
    pub(crate) fn stop(mut self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        Acknowledged(threads.into_iter().map(|thread| thread.join().expect("no stale read, no lost reply")).collect())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What clients were told.
#[derive(Debug)]
pub(crate) struct Acknowledged(Vec<Diary>);

impl Acknowledged {
    /// Nothing yet.
    pub(crate) fn nothing() -> Self {
        Self((0..WRITERS).map(|_| Diary::default()).collect())
    }

    /// All of it is on this server.
    pub(crate) fn is_on(&self, server: &Server) {
        let mut conn = server.conn();
        for diary in &self.0 {
            for (key, (acknowledged, sent)) in &diary.registers {
                let found = number(&conn.call(["GET", key]));
                assert!((*acknowledged..=*sent).contains(&found), "{key} is {found}; {acknowledged} was acknowledged, {sent} sent");
            }
            for (key, acknowledged) in &diary.lists {
                let found = text(&conn.call(["LRANGE", key, "0", "-1"]));
                let mut found = found.split("\\r\\n").filter_map(|line| line.parse::<u64>().ok());
                for value in acknowledged {
                    assert!(found.any(|found| found == *value), "{value} was acknowledged, and is not in {key}, or not in its place");
                }
            }
        }
    }
}

struct Writer {
    number: usize,
    diary: Diary,
    acknowledged: Arc<AtomicU64>,
    refusal: Arc<Mutex<String>>,
}

impl Writer {
    /// Writes until something is refused, or the connection ends.
    fn live(&mut self, conn: &mut Conn, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.diary.at += 1;
            let done = if self.diary.at.is_multiple_of(4) { self.push(conn) } else { self.set(conn) };
            if done.is_none() {
                return;
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn set(&mut self, conn: &mut Conn) -> Option<()> {
        let at = self.diary.at;
        let (key, value) = (format!("register:{}:{}", self.number, at % REGISTERS), at.to_string());
        let register = self.diary.registers.entry(key.clone()).or_default();
        register.1 = at;
        let reply = if at % 16 == 5 { ask(conn, &["EVAL", SETS, "1", &key, &value])? } else { ask(conn, &["SET", &key, &value])? };
        if reply != b"+OK\r\n" {
            return self.refused(&reply);
        }
        register.0 = at;
        // What was acknowledged is read by whoever reads next, whichever side answers.
        let read = ask(conn, &["GET", &key])?;
        if is_error(&read) {
            return self.refused(&read);
        }
        assert_eq!(number(&read), at, "{key}: {}", text(&read));
        Some(())
    }

    fn refused(&self, reply: &[u8]) -> Option<()> {
        *lock(&self.refusal) = text(reply);
        None
    }

    fn push(&mut self, conn: &mut Conn) -> Option<()> {
        let at = self.diary.at;
        let key = format!("list:{}:{}", self.number, at / (4 * LIST_LEN));
        let reply = ask(conn, &["RPUSH", &key, &at.to_string()])?;
        if is_error(&reply) {
            return self.refused(&reply);
        }
        self.diary.lists.entry(key).or_default().push(at);
        Some(())
    }
}

fn lock(refusal: &Mutex<String>) -> MutexGuard<'_, String> {
    refusal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reply, if the connection lives.
fn ask(conn: &mut Conn, request: &[&str]) -> Option<Vec<u8>> {
    conn.try_send(Conn::encode(request)).ok()?;
    match conn.try_reply() {
        Ok(reply) => Some(reply),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            panic!("no answer to {request:?}");
        }
        Err(_) => None,
    }
}

/// The number that a bulk string holds; 0 if there is none.
fn number(reply: &[u8]) -> u64 {
    text(reply).split("\\r\\n").nth(1).and_then(|value| value.parse().ok()).unwrap_or_default()
}

//! Clients that send what the table says: in pipelines, in transactions, waiting, watching, and on a new connection when
//! theirs ends.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use interlay_tests::{Conn, Rng, eventually, is_error, text};

use super::diary::Diary;
use super::form::{Draw, Drawn, Form};
use super::table::{self, Mix};

/// Requests in one pipeline at most.
const PIPELINE_MAX: u64 = 40;

/// Commands in one transaction at most.
const TRANSACTION_MAX: u64 = 6;

/// Between two attempts to get an answer from an interlay that is down.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the clients' next requests come from.
pub(crate) type Source = fn(&mut Draw) -> Drawn;

/// Everything of the table.
pub(crate) fn whole(draw: &mut Draw) -> Drawn {
    of(table::WHOLE, draw)
}

/// What can be repeated, if not as it is.
pub(crate) fn rewritten(draw: &mut Draw) -> Drawn {
    of(table::REWRITTEN, draw)
}

/// What can be repeated as it is.
pub(crate) fn plain(draw: &mut Draw) -> Drawn {
    of(table::PLAIN, draw)
}

/// Mostly writes of many different keys, which take memory.
pub(crate) fn wide(draw: &mut Draw) -> Drawn {
    match draw.rng.below(4) {
        0 => whole(draw),
        kind => draw.request(&WIDE[kind as usize - 1]),
    }
}

static WIDE: LazyLock<[Form; 3]> = LazyLock::new(|| ["SET anykey v PXAT far", "APPEND anykey short", "DEL anykey"].map(Form::of));

fn of(mix: Mix, draw: &mut Draw) -> Drawn {
    let form = table::pick(mix, &mut draw.rng);
    draw.request(form)
}

/// What clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Errors by their first words, with how often each came.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Connections that ended.
    pub(crate) lost: u64,
}

/// Clients, each with a thread. To be ended with [`Clients::stop`].
#[derive(Debug)]
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    replies: Arc<AtomicU64>,
    pub(crate) diary: Arc<Diary>,
    threads: Vec<JoinHandle<Told>>,
}

impl Clients {
    /// Starts `count` of them, every second one in RESP3.
    pub(crate) fn start(port: u16, count: u64, rng: &Rng, source: Source) -> Self {
        let (stop, replies, diary) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::new(Diary::new()));
        let threads = (0..count).map(|number| {
            let (stop, replies, diary, rng) = (Arc::clone(&stop), Arc::clone(&replies), Arc::clone(&diary), rng.fork(number));
            std::thread::spawn(move || {
                let mut told = Told::default();
                let mut draw = Draw::new(rng);
                while !stop.load(Ordering::Relaxed) {
                    let conn = Conn::to(port);
                    let mut client = Client { number, conn, db: b"0".to_vec(), source, draw, diary: &diary, replies: &replies, told };
                    let answered = client.live(&stop);
                    Client { draw, told, .. } = client;
                    if !answered {
                        std::thread::park_timeout(PAUSE);
                    }
                }
                told
            })
        });
        Self { threads: threads.collect(), stop, replies, diary }
    }

    /// Waits until `replies` more replies have come.
    pub(crate) fn go_on_for(&self, replies: u64) {
        let until = self.replies.load(Ordering::Relaxed) + replies;
        eventually("clients get replies", || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a client has failed");
            self.replies.load(Ordering::Relaxed) >= until
        });
    }

    /// Replies so far.
    pub(crate) fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Ends them when each has its last replies.
    pub(crate) fn stop(&mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for thread in self.threads.drain(..) {
            let told = thread.join().expect("every client gets its replies");
            all.lost += told.lost;
            told.errors.into_iter().for_each(|(error, times)| *all.errors.entry(error).or_default() += times);
        }
        all
    }
}

/// A client while its connection lasts.
struct Client<'a> {
    number: u64,
    conn: Conn,
    db: Vec<u8>,
    source: Source,
    draw: Draw,
    diary: &'a Diary,
    replies: &'a AtomicU64,
    told: Told,
}

/// The connection has ended.
struct Ended;

impl Client<'_> {
    /// Sends requests until told to stop or the connection ends; false if that answered nothing.
    fn live(&mut self, stop: &AtomicBool) -> bool {
        let resp3 = self.number % 2 == 1;
        let mut answered = false;
        if resp3 && self.say(vec![literal("HELLO 3")]).is_err() {
            return false;
        }
        while !stop.load(Ordering::Relaxed) {
            if self.turn().is_err() {
                self.told.lost += 1;
                return answered;
            }
            answered = true;
        }
        true
    }

    fn turn(&mut self) -> Result<(), Ended> {
        let resp3 = self.draw.rng.below(2) == 0;
        match self.draw.rng.below(100) {
            0..60 => {
                let requests = self.requests(PIPELINE_MAX);
                self.say(requests)
            }
            60..80 => {
                let request = self.requests(1);
                self.say(request)
            }
            80..90 => {
                let mut whole = vec![literal("MULTI")];
                whole.extend(self.requests(TRANSACTION_MAX));
                whole.push(literal("EXEC"));
                self.say(whole)
            }
            90..95 => self.watch_and_exec(),
            95 => self.say(vec![literal(if resp3 { "HELLO 3" } else { "HELLO 2" })]),
            _ => {
                let wait = table::pick(&[(1, table::Kind::Wait)], &mut self.draw.rng);
                let request = self.draw.request(wait);
                self.say(vec![request])
            }
        }
    }

    /// One to `max` requests.
    fn requests(&mut self, max: u64) -> Vec<Drawn> {
        (0..=self.draw.rng.below(max)).map(|_| (self.source)(&mut self.draw)).collect()
    }

    /// A transaction request by request, as a client without pipelines has it.
    fn watch_and_exec(&mut self) -> Result<(), Ended> {
        if self.draw.rng.below(4) > 0 {
            let watch = self.draw.request(&Form::of("WATCH { key }"));
            self.say(vec![watch])?;
        }
        self.say(vec![literal("MULTI")])?;
        for request in self.requests(TRANSACTION_MAX) {
            self.say(vec![request])?;
        }
        let end = if self.draw.rng.below(8) == 0 { "DISCARD" } else { "EXEC" };
        self.say(vec![literal(end)])
    }

    /// Sends requests at once, and reads their replies.
    fn say(&mut self, requests: Vec<Drawn>) -> Result<(), Ended> {
        let sent = Instant::now();
        let bytes: Vec<_> = requests.iter().map(|request| Conn::encode(&request.args)).collect();
        let mut ended = self.conn.try_send(bytes.concat()).is_err();
        for request in requests {
            let reply = if ended { None } else { self.reply(&request) };
            ended |= reply.is_none();
            self.diary.note(self.number, &self.db, sent, &request, reply.as_deref());
            if let Some(reply) = reply {
                self.hear(&request, &reply);
            }
        }
        if ended { Err(Ended) } else { Ok(()) }
    }

    fn reply(&mut self, request: &Drawn) -> Option<Vec<u8>> {
        match self.conn.try_reply() {
            Ok(reply) => Some(reply),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("client {} gets no answer: {}", self.number, text(&request.args.join(&b' ')));
            }
            Err(_) => None,
        }
    }

    fn hear(&mut self, request: &Drawn, reply: &[u8]) {
        self.replies.fetch_add(1, Ordering::Relaxed);
        self.draw.remember(request, reply);
        if request.args[0] == b"SELECT" && reply == b"+OK\r\n" {
            self.db.clone_from(&request.args[1]);
        }
        if is_error(reply) {
            let error = text(&reply[..reply.len() - 2]);
            // Of the server's own errors the code says enough.
            let error = if error.contains("interlay") { error } else { error.split(' ').next().unwrap_or_default().to_owned() };
            *self.told.errors.entry(error).or_default() += 1;
        }
    }
}

/// A request in which nothing is drawn.
fn literal(words: &str) -> Drawn {
    Drawn { args: words.split(' ').map(|word| word.as_bytes().to_vec()).collect(), keys: Vec::new() }
}

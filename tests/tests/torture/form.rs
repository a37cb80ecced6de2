//! The form of a command, and how one is drawn from it.
//!
//! `( A | B )` is one of the choices, `[ A | B ]` one of them or nothing, `{ A }` one to four of them. Words in small letters
//! are drawn, by [`Draw::word`]; all others stand for themselves.

use std::time::{SystemTime, UNIX_EPOCH};

use interlay_tests::Rng;

use super::table::{LIBRARY, SCRIPTS};

/// Names of keys, shared by all types.
pub(crate) const KEYS: u64 = 60;

/// Further names, for clients that write many different keys.
const MANY_KEYS: u64 = 40_000;

/// Databases in use.
pub(crate) const DBS: u64 = 3;

/// The types, each with the keys that it has for itself most of the time: a run of so many names.
const HOMES: [&str; 8] = ["skey", "lkey", "ukey", "zkey", "hkey", "xkey", "pkey", "gkey"];
const HOME_KEYS: u64 = KEYS / HOMES.len() as u64;

/// Somewhere in the year 2100, in ms.
const FAR_AWAY_MS: u64 = 4_102_444_800_000;

/// A time to live is at most this long, in ms, or [`LONG_TTL_MS`].
pub(crate) const SHORT_TTL_MS: u64 = 3_000;
const LONG_TTL_MS: u64 = 1_000_000;

/// What replies have told a client, and it says again.
const REMEMBERED: usize = 16;

/// A command's form.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) text: &'static str,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Word(&'static str),
    OneOf { choices: Vec<Vec<Self>>, may_lack: bool },
    Several(Vec<Self>),
}

impl Form {
    /// Reads a form.
    pub(crate) fn of(text: &'static str) -> Self {
        let mut words = text.split(' ');
        let mut choices = choices(&mut words, None);
        assert!(choices.len() == 1, "a choice without brackets: {text}");
        Self { text, parts: choices.remove(0) }
    }
}

/// The choices up to the word `end`, or to the end.
fn choices(words: &mut dyn Iterator<Item = &'static str>, end: Option<&str>) -> Vec<Vec<Part>> {
    let mut all = vec![Vec::new()];
    loop {
        let word = words.next();
        assert!(word.is_some() || end.is_none(), "a bracket is open: {all:?}");
        let part = match word {
            word if word == end => return all,
            Some("(") => Part::OneOf { choices: choices(words, Some(")")), may_lack: false },
            Some("[") => Part::OneOf { choices: choices(words, Some("]")), may_lack: true },
            Some("{") => Part::Several(choices(words, Some("}")).remove(0)),
            Some("|") => {
                all.push(Vec::new());
                continue;
            }
            Some(word) => Part::Word(word),
            None => return all,
        };
        all.last_mut().expect("there is always one").push(part);
    }
}

/// A request that was drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawn {
    pub(crate) args: Vec<Vec<u8>>,
    /// The keys among them.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// One client's chance, and what it remembers of the replies.
#[derive(Debug)]
pub(crate) struct Draw {
    pub(crate) rng: Rng,
    ids: Vec<Vec<u8>>,
    payloads: Vec<Vec<u8>>,
    shas: Vec<Vec<u8>>,
}

impl Draw {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, ids: Vec::new(), payloads: Vec::new(), shas: Vec::new() }
    }

    /// A request of this form.
    pub(crate) fn request(&mut self, form: &Form) -> Drawn {
        let mut drawn = Drawn::default();
        self.parts(&form.parts, &mut drawn);
        drawn
    }

    fn parts(&mut self, parts: &[Part], drawn: &mut Drawn) {
        for part in parts {
            match part {
                Part::Word(word) if word.starts_with(|first: char| first.is_ascii_lowercase()) => {
                    let arg = self.word(word);
                    if word.ends_with("key") && !drawn.keys.contains(&arg) {
                        drawn.keys.push(arg.clone());
                    }
                    drawn.args.push(arg);
                }
                Part::Word(word) => drawn.args.push(word.as_bytes().to_vec()),
                Part::OneOf { may_lack: true, .. } if self.rng.below(2) == 0 => {}
                Part::OneOf { choices, .. } => {
                    let choice = self.rng.below(choices.len() as u64) as usize;
                    self.parts(&choices[choice], drawn);
                }
                Part::Several(parts) => (0..=self.rng.below(4)).for_each(|_| self.parts(parts, drawn)),
            }
        }
    }

    /// What a word in small letters stands for.
    fn word(&mut self, word: &str) -> Vec<u8> {
        let rng = &mut self.rng;
        let n = rng.below(1_000);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        // Mostly soon, now and then long after the end.
        let ttl_ms = if n < 800 { 1 + rng.below(SHORT_TTL_MS) } else { LONG_TTL_MS };
        let text = match word {
            "key" => format!("k{}", rng.below(KEYS)),
            "anykey" => format!("any{}", rng.below(MANY_KEYS)),
            "v" => return value(rng),
            "short" => format!("<{n}>"),
            "m" if n < 100 => n.to_string(),
            "m" => format!("m{}", if n < 900 { rng.below(12) } else { rng.below(400) }),
            "f" => format!("f{}", if n < 900 { rng.below(10) } else { rng.below(300) }),
            "n" => (n as i64 - 500).to_string(),
            "few" => rng.below(6).to_string(),
            "len" => rng.below(30).to_string(),
            "at" => (rng.below(10) as i64 - 4).to_string(),
            "bit" => rng.below(2_000).to_string(),
            "bits" => (*rng.pick(&["u1", "i5", "u8", "i16", "u31", "i64"])).into(),
            "float" => format!("{}.{}", n as i64 - 500, rng.below(1_000)),
            "score" => match n {
                0..20 => "inf".into(),
                20..40 => "-inf".into(),
                40..500 => rng.below(10).to_string(),
                _ => format!("{}.{n}", rng.below(100)),
            },
            "lon" => format!("{}.{n}", rng.below(4) as i64 - 2),
            "lat" => format!("{}.{n}", 40 + rng.below(4)),
            "lex" => format!("[m{}", rng.below(12)),
            "db" => rng.below(DBS).to_string(),
            "far" => (FAR_AWAY_MS + n).to_string(),
            "ttl" => {
                if n.is_multiple_of(50) {
                    "-1".into()
                } else {
                    ttl_ms.to_string()
                }
            }
            "ttls" => ttl_ms.div_ceil(1_000).to_string(),
            "soon" => (now_ms + ttl_ms - 20).to_string(),
            "soons" => (now_ms + ttl_ms).div_ceil(1_000).to_string(),
            "idle" => {
                if n < 700 {
                    "0".into()
                } else {
                    n.to_string()
                }
            }
            "ago" => (now_ms - n).to_string(),
            "wait" => format!("0.{:02}", 1 + rng.below(12)),
            "waitms" => (1 + rng.below(100)).to_string(),
            "group" => format!("g{}", rng.below(3)),
            "consumer" => format!("c{}", rng.below(4)),
            "id" => match n {
                0..600 if !self.ids.is_empty() => return rng.pick(&self.ids).clone(),
                600..650 => "0".into(),
                650..700 => format!("{now_ms}"),
                _ => format!("{}-{}", rng.below(30), rng.below(5)),
            },
            "partial" => format!("{}-*", if n < 500 { now_ms } else { rng.below(30) }),
            "payload" => return if self.payloads.is_empty() { b"nothing".to_vec() } else { rng.pick(&self.payloads).clone() },
            "sha" => return if self.shas.is_empty() { b"0".repeat(40) } else { rng.pick(&self.shas).clone() },
            "script" => (*rng.pick(SCRIPTS)).into(),
            "library" => LIBRARY.into(),
            _ => {
                let home = HOMES.iter().position(|home| *home == word).unwrap_or_else(|| panic!("no such word: {word}"));
                let own = home as u64 * HOME_KEYS + rng.below(HOME_KEYS);
                format!("k{}", if n < 900 { own } else { rng.below(KEYS) })
            }
        };
        text.into_bytes()
    }

    /// Keeps what a reply tells for later requests.
    pub(crate) fn remember(&mut self, request: &Drawn, reply: &[u8]) {
        let store = match &*request.args[0] {
            b"XADD" => &mut self.ids,
            b"DUMP" => &mut self.payloads,
            b"SCRIPT" => &mut self.shas,
            _ => return,
        };
        let Some(head) = reply.iter().position(|byte| *byte == b'\n').filter(|_| reply[0] == b'$' && reply.len() > 5) else {
            return;
        };
        if store.len() == REMEMBERED {
            store.remove(self.rng.below(REMEMBERED as u64) as usize);
        }
        store.push(reply[head + 1..reply.len() - 2].to_vec());
    }
}

/// A string's value, a list's or hash's element.
fn value(rng: &mut Rng) -> Vec<u8> {
    let n = rng.next_u64();
    match rng.below(20) {
        0 => Vec::new(),
        1 => vec![0, b'\r', b'\n', 0xff, n as u8],
        2 => (0..rng.below(300)).map(|at| (at ^ n) as u8).collect(),
        3 if n.is_multiple_of(8) => vec![n as u8; 20_000],
        4..10 => (n % 100).to_string().into_bytes(),
        10 => format!("{}.5", n % 100).into_bytes(),
        _ => format!("v{}", n % 1_000_000).into_bytes(),
    }
}

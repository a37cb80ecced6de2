//! The data of a model server: databases of strings, lists and sets with deadlines.
//!
//! Invariant: a key whose deadline has passed is as good as absent, whether or not it was removed; an empty list or
//! set does not exist.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::agenda::Instant;
use super::reply::Reply;

pub(crate) type Key = Vec<u8>;
pub(crate) type List = VecDeque<Vec<u8>>;
pub(crate) type Set = BTreeSet<Vec<u8>>;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Vec<u8>),
    List(List),
    Set(Set),
}

fn shown<'a>(values: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    values.into_iter().map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", text.escape_ascii()),
            Self::List(list) => write!(f, "[{}]", shown(list)),
            Self::Set(set) => write!(f, "{{{}}}", shown(set)),
        }
    }
}

/// A type of value, to be edited in place.
pub(crate) trait Kind: Default {
    fn of(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
}

impl Kind for Vec<u8> {
    fn of(value: &mut Value) -> Option<&mut Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
    fn wrap(self) -> Value {
        Value::Text(self)
    }
}

impl Kind for List {
    fn of(value: &mut Value) -> Option<&mut Self> {
        if let Value::List(list) = value { Some(list) } else { None }
    }
    fn wrap(self) -> Value {
        Value::List(self)
    }
}

impl Kind for Set {
    fn of(value: &mut Value) -> Option<&mut Self> {
        if let Value::Set(set) = value { Some(set) } else { None }
    }
    fn wrap(self) -> Value {
        Value::Set(self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Value,
    pub(crate) deadline: Option<Instant>,
}

impl Item {
    pub(crate) fn lives_at(&self, now: Instant) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    databases: Vec<BTreeMap<Key, Item>>,
    now: Instant,
    /// Keys that were written since [`Store::take_touched`].
    touched: BTreeSet<(u32, Key)>,
    /// Changes so far, of those that change something.
    changes: u64,
}

impl Store {
    pub(crate) fn new(databases: u32) -> Self {
        Self { databases: vec![BTreeMap::new(); databases as usize], now: 0, touched: BTreeSet::new(), changes: 0 }
    }

    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn take_touched(&mut self) -> BTreeSet<(u32, Key)> {
        std::mem::take(&mut self.touched)
    }

    /// Changes so far. A write that leaves everything as it was is none.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn has_db(&self, db: u32) -> bool {
        (db as usize) < self.databases.len()
    }

    pub(crate) fn get(&self, db: u32, key: &[u8]) -> Option<&Item> {
        self.databases.get(db as usize)?.get(key).filter(|item| item.lives_at(self.now))
    }

    /// Every key that lives.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u32, &Key)> {
        let dbs = (0..).zip(&self.databases);
        dbs.flat_map(|(db, items)| items.iter().filter(|(_, item)| item.lives_at(self.now)).map(move |(key, _)| (db, key)))
    }

    pub(crate) fn put(&mut self, db: u32, key: &[u8], item: Item) {
        self.touched.insert((db, key.to_vec()));
        let left = Some(&item).filter(|item| item.lives_at(self.now));
        self.changes += u64::from(self.get(db, key) != left);
        // A deadline in the past removes the key at once.
        if item.lives_at(self.now) {
            self.databases[db as usize].insert(key.to_vec(), item);
        } else {
            self.databases[db as usize].remove(key);
        }
    }

    pub(crate) fn put_text(&mut self, db: u32, key: &[u8], text: &[u8], deadline: Option<Instant>) {
        self.put(db, key, Item { value: Value::Text(text.to_vec()), deadline });
    }

    pub(crate) fn remove(&mut self, db: u32, key: &[u8]) -> Option<Item> {
        self.touched.insert((db, key.to_vec()));
        self.changes += u64::from(self.get(db, key).is_some());
        let item = self.databases[db as usize].remove(key);
        item.filter(|item| item.lives_at(self.now))
    }

    /// A copy of the value, empty if there is none; an error if it is of another type.
    pub(crate) fn copy<K: Kind + Clone>(&self, db: u32, key: &[u8]) -> Result<K, Reply> {
        match self.get(db, key).cloned() {
            None => Ok(K::default()),
            Some(mut item) => K::of(&mut item.value).cloned().ok_or(Reply::WRONG_TYPE),
        }
    }

    /// Changes a value, empty at first if there is none; an error if it is of another type.
    pub(crate) fn edit<K: Kind, T>(&mut self, db: u32, key: &[u8], change: impl FnOnce(&mut K) -> T) -> Result<T, Reply> {
        let old = self.get(db, key).cloned();
        let mut item = old.unwrap_or_else(|| Item { value: K::default().wrap(), deadline: None });
        let done = change(K::of(&mut item.value).ok_or(Reply::WRONG_TYPE)?);
        let empty = match &item.value {
            Value::Text(_) => false,
            Value::List(list) => list.is_empty(),
            Value::Set(set) => set.is_empty(),
        };
        if empty {
            self.remove(db, key);
        } else {
            self.put(db, key, item);
        }
        Ok(done)
    }

    pub(crate) fn flush(&mut self, db: u32) {
        self.changes += 1;
        for key in std::mem::take(&mut self.databases[db as usize]).into_keys() {
            self.touched.insert((db, key));
        }
    }

    pub(crate) fn flush_all(&mut self) {
        (0..self.databases.len() as u32).for_each(|db| self.flush(db));
    }

    pub(crate) fn swap(&mut self, a: u32, b: u32) {
        self.changes += 1;
        for key in self.databases[a as usize].keys().chain(self.databases[b as usize].keys()) {
            self.touched.extend([(a, key.clone()), (b, key.clone())]);
        }
        self.databases.swap(a as usize, b as usize);
    }

    /// A page of the keys of a database behind a cursor, and the next cursor: 0 at the end. As a server's hash table has it,
    /// the order means nothing, and a key that stays is in a page whatever comes and goes.
    pub(crate) fn scan(&self, db: u32, cursor: u64, page: usize) -> (u64, Vec<Key>) {
        let Some(items) = self.databases.get(db as usize) else { return (0, Vec::new()) };
        let mut keys: Vec<(u64, &Key)> =
            items.iter().filter(|(_, item)| item.lives_at(self.now)).map(|(key, _)| (place(key), key)).collect();
        keys.sort_unstable();
        keys.retain(|(place, _)| *place >= cursor);
        let next = keys.get(page).map_or(0, |(place, _)| *place);
        (next, keys.into_iter().take(page).map(|(_, key)| key.clone()).collect())
    }
}

/// Where in a server's hash table a key is.
fn place(key: &[u8]) -> u64 {
    let start = key.iter().fold(7, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (super::rng::Rng::new(start).next() >> 1).max(1)
}

impl Value {
    /// What TYPE says.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(list) => list.iter().map(Vec::len).sum(),
            Self::Set(set) => set.iter().map(Vec::len).sum(),
        }
    }

    /// As DUMP has it, in a way of our own.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let (kind, elements): (u8, Vec<&Vec<u8>>) = match self {
            Self::Text(text) => (b't', vec![text]),
            Self::List(list) => (b'l', list.iter().collect()),
            Self::Set(set) => (b's', set.iter().collect()),
        };
        let mut payload = vec![kind];
        for element in elements {
            payload.extend_from_slice(&(element.len() as u32).to_le_bytes());
            payload.extend_from_slice(element);
        }
        payload
    }

    /// What [`Value::dump`] gave.
    pub(crate) fn load(payload: &[u8]) -> Option<Self> {
        let (kind, mut rest) = payload.split_first()?;
        let mut elements = Vec::new();
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk()?;
            let (element, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            elements.push(element.to_vec());
            rest = behind;
        }
        match kind {
            b't' => elements.pop().map(Self::Text),
            b'l' => Some(Self::List(elements.into())),
            b's' => Some(Self::Set(elements.into_iter().collect())),
            _ => None,
        }
    }
}

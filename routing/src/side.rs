//! The two servers of an interlay.

use std::fmt;
use std::ops::{Index, IndexMut, Not};

/// One of the two servers. Fixed for the life of an interlay; which of them is in charge (the *authority*) is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The server the data moves away from.
    Source,
    /// The server the data moves to.
    Target,
}

impl Side {
    /// Both sides, source first.
    pub const BOTH: [Self; 2] = [Self::Source, Self::Target];

    /// The word for this side in logs, metrics, errors and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

impl Not for Side {
    type Output = Self;

    /// The other side.
    fn not(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value for each side, indexed by [`Side`].
#[derive(Clone, Debug, Default)]
pub struct BySide<T> {
    /// The source's.
    pub source: T,
    /// The target's.
    pub target: T,
}

impl<T> BySide<T> {
    /// The value of `first` and that of the other side, to be changed together.
    pub fn both_mut(&mut self, first: Side) -> (&mut T, &mut T) {
        match first {
            Side::Source => (&mut self.source, &mut self.target),
            Side::Target => (&mut self.target, &mut self.source),
        }
    }
}

impl<T> Index<Side> for BySide<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

impl<T> IndexMut<Side> for BySide<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }
}

//! Why a state directory is not used, in words that say what it means and what to do.

use std::io;
use std::path::{Path, PathBuf};

use interlay_routing::Side;

/// Why a state directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The system refuses something.
    #[error("state directory: cannot {action} {}: {cause}", file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// Another process holds it.
    #[error(
        "state directory: {} is in use by another process, and two interlays of one pair cannot see each other's writes: stop the \
         other one, or name another directory",
        dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// It holds something else.
    #[error(
        "state directory: {} holds {} and no identity.toml, so it is not Interlay's: name an empty directory, or one that is not there yet",
        dir.display(), file.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// Something that is in it.
        file: PathBuf,
    },
    /// A file of it cannot be relied upon.
    #[error(
        "state directory: {} {flaw}, so which keys differ between the sides is not known any more: restore the file; or delete {} and \
         start anew, and then run `interlay repair --all`",
        file.display(), dir.display()
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// It belongs to an interlay between other servers.
    #[error(
        "state directory: {} is of the {side} {theirs}, and the {side} now is {ours}: what it says of keys is not about these servers. \
         Name this pair's own directory; or, if that server has only moved, delete this one and start anew, and then run \
         `interlay repair --all`",
        file.display()
    )]
    Foreign {
        /// The identity.
        file: PathBuf,
        /// Which server differs.
        side: Side,
        /// The directory's.
        theirs: String,
        /// The configuration's.
        ours: String,
    },
}

impl StateError {
    /// Says of a system's error what was tried with which file.
    pub(super) fn io(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, file: file.to_owned(), cause }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is longer or shorter than it was made.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// It is not of this kind.
    #[error("does not begin as such a file does")]
    Kind,
    /// It has been changed by something other than Interlay.
    #[error("does not match its checksum")]
    Checksum,
    /// Another version of Interlay has written it.
    #[error("has format {0}, and this version of Interlay knows format {ours} only", ours = super::identity::FORMAT)]
    Format(u32),
    /// The bitmap was made together with another identity.
    #[error("belongs to another identity.toml")]
    OtherIdentity,
    /// It has its checksum and makes no sense.
    #[error("cannot be understood ({0})")]
    Content(String),
}

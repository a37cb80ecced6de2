//! Why a measurement could not be made.

use std::io;

/// One failed step of a run. Text is for the person who reads the report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operating system refused something.
    #[error("{what}: {cause}")]
    Io {
        /// The step, as an activity.
        what: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A program was started and did not do its job in time, or ended.
    #[error("{name} {problem}; the end of its log:\n{log}")]
    Process {
        /// The program's role in the run.
        name: String,
        /// What is wrong with it.
        problem: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A server answered something else than the run depends on.
    #[error("{command}: unexpected reply {reply:?}")]
    Reply {
        /// The command's name.
        command: String,
        /// The start of the reply.
        reply: String,
    },
    /// A contender's program, or a program the run itself needs, is not on this machine.
    #[error("{program} is not installed: {remedy}")]
    NotInstalled {
        /// The program's file name.
        program: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// The limits of this process are too low for the run.
    #[error("at most {limit} open files allowed, {needed} needed: run `ulimit -n {needed}` first")]
    OpenFiles {
        /// The soft limit found.
        limit: u64,
        /// What the run needs.
        needed: u64,
    },
}

/// A step of a run.
pub type Result<T> = std::result::Result<T, BenchError>;

/// Names the step in which an [`io::Error`] happened.
pub trait Step<T> {
    /// # Errors
    /// [`BenchError::Io`] with `what`, if this is an error.
    fn step(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|cause| BenchError::Io { what: what.into(), cause })
    }
}

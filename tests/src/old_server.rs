//! A `redis-server` older than the installed one: 6.2, which refuses what DUMP says on a newer one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::server::Server;

static OLD: LazyLock<PathBuf> = LazyLock::new(|| {
    // target/debug/deps/test-0123: beside what this build makes otherwise.
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(Path::parent).expect("a test is in the folder of a build").join("redis-6.2");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/old-server.sh");
    let made = Command::new("sh").arg(script).arg(&folder).stdin(Stdio::null()).output().expect("sh");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "no redis-server 6.2: {}", said.trim_end());
    folder.join("redis-server")
});

impl Server {
    /// Starts a server of version 6.2. The first call installs it with pip, in a folder of the build.
    ///
    /// # Panics
    ///
    /// If it cannot be installed or does not start; the message says why.
    #[must_use]
    pub fn old() -> Self {
        Self::of(&OLD, &[])
    }
}

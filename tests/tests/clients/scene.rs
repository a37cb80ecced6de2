//! What a client is connected to: a server itself, or an interlay, which mirrors or not.

use std::sync::{Condvar, Mutex, PoisonError};

use interlay_tests::{Data, Interlay, Launch, Pair, Server};

/// The password that [`Scene::password_port`] wants.
pub(crate) const PASSWORD: &str = "sesame";

/// Scenes at a time: each keeps several processes busy.
const SCENES_MAX: usize = 2;

/// How many scenes there are.
static SCENES: Mutex<usize> = Mutex::new(0);
/// That there is one less.
static ENDED: Condvar = Condvar::new();

/// What stands behind the port.
enum Front {
    Server(Server),
    // The interlay before its server, so that it ends first.
    Passthrough(Interlay, #[expect(dead_code, reason = "runs until it is dropped")] Server),
    Mirroring(Pair),
}

/// What a client is connected to, and beside it the same with a password.
pub(crate) struct Scene {
    front: Front,
    /// Before the server with the password; none if clients are connected to servers themselves.
    guarded: Option<Interlay>,
    with_password: Server,
    // Last: it is given back when the processes have ended.
    _place: Place,
}

impl Scene {
    /// A server itself: shows whose fault it is if a client fails elsewhere. Only if `INTERLAY_CLIENTS_DIRECT` is 1.
    pub(crate) fn direct() -> Option<Self> {
        let wanted = std::env::var_os("INTERLAY_CLIENTS_DIRECT").is_some_and(|wanted| wanted == "1");
        wanted.then(|| {
            let place = Place::take();
            Self { front: Front::Server(Server::start()), guarded: None, with_password: server_with_password(), _place: place }
        })
    }

    /// An interlay without a target.
    pub(crate) fn passthrough() -> Self {
        Self::with(|| {
            let source = Server::start();
            Front::Passthrough(Interlay::passthrough(&source).start(), source)
        })
    }

    /// An interlay that mirrors.
    pub(crate) fn mirroring() -> Self {
        Self::with(|| Front::Mirroring(Pair::start("source-authoritative")))
    }

    fn with(front: impl FnOnce() -> Front) -> Self {
        let place = Place::take();
        let with_password = server_with_password();
        let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", with_password.port());
        let guarded = Launch::default().args(["--source", &url]).start();
        Self { front: front(), guarded: Some(guarded), with_password, _place: place }
    }

    /// The port that clients use.
    pub(crate) fn port(&self) -> u16 {
        match &self.front {
            Front::Server(server) => server.port(),
            Front::Passthrough(interlay, _) | Front::Mirroring(Pair { interlay, .. }) => interlay.port(),
        }
    }

    /// The port that wants a [`PASSWORD`].
    pub(crate) fn password_port(&self) -> u16 {
        self.guarded.as_ref().map_or_else(|| self.with_password.port(), Interlay::port)
    }

    /// Ends what clients are connected to, and starts it again.
    pub(crate) fn restart(&mut self) {
        match &mut self.front {
            Front::Server(server) => {
                server.save();
                server.restart(Data::Kept);
            }
            Front::Passthrough(interlay, _) => interlay.restart(),
            Front::Mirroring(pair) => {
                // What is under way to the target would be lost: this version remembers it in memory only.
                pair.settled();
                pair.interlay.restart();
            }
        }
    }

    /// Asserts that what the clients have written is where it belongs.
    pub(crate) fn assert_in_step(&self) {
        if let Front::Mirroring(pair) = &self.front {
            pair.assert_in_step();
        }
    }
}

/// A server that wants the password, once it runs.
fn server_with_password() -> Server {
    let server = Server::start();
    assert_eq!(server.call(["CONFIG", "SET", "requirepass", PASSWORD]), b"+OK\r\n");
    server
}

/// One of the [`SCENES_MAX`].
struct Place;

impl Place {
    fn take() -> Self {
        let scenes = SCENES.lock().unwrap_or_else(PoisonError::into_inner);
        *ENDED.wait_while(scenes, |scenes| *scenes >= SCENES_MAX).unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *SCENES.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

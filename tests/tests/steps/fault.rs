//! What goes wrong, and how it is put right again.

use interlay_tests::{Conn, Data, Faults, is_error, text};

use super::scene::Scene;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL for the source; it comes back with everything that it has acknowledged.
    KillSource,
    /// The same for the target.
    KillTarget,
    /// SIGKILL for the interlay; the next one has the same state directory.
    KillInterlay,
    /// Connections to the source end, and new ones at their first byte.
    CutSource,
    /// The same for the target.
    CutTarget,
    /// The target has no memory left, and evicts nothing.
    FillTarget,
    /// The source wants a password that the interlay does not have, and ends all connections.
    LockSource,
    /// The same for the target.
    LockTarget,
}

/// A fault that lasts: what is needed to end it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lasting {
    fault: Fault,
    /// The operator's connection to the server concerned, and the replies that it is owed.
    operator: Option<(Conn, usize)>,
}

impl Fault {
    /// The side concerned; none if it is the interlay.
    pub(crate) fn side(self) -> Option<&'static str> {
        match self {
            Self::KillSource | Self::CutSource | Self::LockSource => Some("source"),
            Self::KillTarget | Self::CutTarget | Self::LockTarget | Self::FillTarget => Some("target"),
            Self::KillInterlay => None,
        }
    }

    /// Whether the interlay gets no answer of that side while it lasts.
    pub(crate) fn disconnects(self) -> bool {
        !matches!(self, Self::FillTarget | Self::KillInterlay)
    }

    /// Whether it is a password that changes.
    pub(crate) fn locks(self) -> bool {
        matches!(self, Self::LockSource | Self::LockTarget)
    }

    /// Begins. A server that is frozen gets to know of it when it goes on.
    pub(crate) fn begin(self, scene: &mut Scene) -> Lasting {
        let mut operator = None;
        let away = Faults { bytes_per_cut: 1, ..Faults::default() };
        match self {
            Self::KillSource => scene.source.kill(),
            Self::KillTarget => scene.target.kill(),
            Self::KillInterlay => scene.interlay.kill(),
            Self::CutSource | Self::CutTarget => {
                let link = &scene.links[usize::from(self == Self::CutTarget)];
                link.set(away);
                link.cut();
            }
            Self::FillTarget => operator = Some(orders(scene.target.conn(), &["CONFIG SET maxmemory 1"])),
            Self::LockSource => operator = Some(orders(scene.source.conn(), &LOCK)),
            Self::LockTarget => operator = Some(orders(scene.target.conn(), &LOCK)),
        }
        Lasting { fault: self, operator }
    }
}

const LOCK: [&str; 2] = ["CONFIG SET requirepass secret", "CLIENT KILL TYPE normal"];

/// Sends orders without waiting for the replies: the server may be frozen.
fn orders(mut conn: Conn, lines: &[&str]) -> (Conn, usize) {
    lines.iter().for_each(|line| conn.request(line.split(' ')));
    (conn, lines.len())
}

impl Lasting {
    /// Puts it right.
    pub(crate) fn end(self, scene: &mut Scene) {
        match self.fault {
            Fault::KillSource => scene.source.restart(Data::Kept),
            Fault::KillTarget => scene.target.restart(Data::Kept),
            Fault::KillInterlay => scene.interlay.restart(),
            Fault::CutSource | Fault::CutTarget => scene.links.iter().for_each(|link| link.set(Faults::default())),
            Fault::FillTarget | Fault::LockSource | Fault::LockTarget => {}
        }
        if let Some((mut conn, owed)) = self.operator {
            for _ in 0..owed {
                let reply = conn.reply();
                assert!(!is_error(&reply), "{}", text(&reply));
            }
            let order = if self.fault == Fault::FillTarget { ["maxmemory", "0"] } else { ["requirepass", ""] };
            assert_eq!(conn.call(["CONFIG", "SET", order[0], order[1]]), b"+OK\r\n");
        }
    }
}

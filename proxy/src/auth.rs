//! Credentials of clients: the source itself checks them, on a connection made for it.
//!
//! A client with the credentials of the endpoint's own user then uses the lane. Any other user's client keeps the
//! connection that its credentials were checked on as its own, so that the server's rules for that user go on holding.

use interlay_resp::Frame;
use interlay_routing::Session;
use tokio::sync::Semaphore;

use crate::dial::{Connection, DialError, Dialer};
use crate::session::error_reply;

/// A connection that is authenticated as another user than the lane is.
pub(crate) struct OwnUser {
    /// The user.
    pub(crate) name: Vec<u8>,
    /// The connection, settled in; and its id on the server.
    pub(crate) connection: Connection,
    /// Its id on the server, if it tells.
    pub(crate) id: Option<i64>,
}

/// Checks clients' credentials.
#[derive(Debug)]
pub(crate) struct Authenticator {
    /// How many checks the source gets at once: after a restart all clients come together.
    pub(crate) at_once: Semaphore,
}

impl Authenticator {
    /// Asks a server about a client's credentials, on a way whose time includes waiting for one's turn: the source, as long as
    /// there is one. A user that is not the lane's gets its own connection to the authority, which may be the other side:
    /// `authority`, then.
    ///
    /// # Errors
    /// The reply that the client gets.
    pub(crate) async fn check(
        &self,
        user: Option<&[u8]>,
        password: &[u8],
        session: Session,
        checker: &Dialer,
        authority: Option<&Dialer>,
    ) -> Result<Option<OwnUser>, Vec<u8>> {
        // Never closed, so that there is always a turn.
        let _turn = self.at_once.acquire().await;
        let (connection, id) = logged_in(checker.log_in(user, password, session).await)?;
        if checker.is_own_user(user) {
            return Ok(None);
        }
        let (connection, id) = match authority {
            Some(authority) => logged_in(authority.log_in(user, password, session).await)?,
            None => (connection, id),
        };
        Ok(Some(OwnUser { name: user.unwrap_or(b"default").to_vec(), connection, id }))
    }
}

fn logged_in(asked: Result<(Frame, Connection, Option<i64>), DialError>) -> Result<(Connection, Option<i64>), Vec<u8>> {
    match asked {
        Ok((Frame::SimpleError { data, .. }, ..)) => Err(error_reply(&data)),
        Ok((_, connection, id)) => Ok((connection, id)),
        Err(_) => Err(error_reply("ERR interlay: no server to ask; the credentials were not checked, try again")),
    }
}

//! Credentials of clients: the source itself checks them, on a connection made for it.
//!
//! A client with the credentials of the endpoint's own user then uses the lane. Any other user's client keeps the
//! connection that its credentials were checked on as its own, so that the server's rules for that user go on holding.

use interlay_resp::Frame;
use interlay_routing::Session;
use tokio::sync::Semaphore;

use crate::dial::{Connection, DialError, Dialer, credentials};
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
    /// The way to the source. Its time includes waiting for one's turn.
    pub(crate) source: Dialer,
    /// How many checks the source gets at once: after a restart all clients come together.
    pub(crate) at_once: Semaphore,
}

impl Authenticator {
    /// Asks the source about a client's credentials. Gives the connection of a user that is not the lane's.
    ///
    /// # Errors
    /// The reply that the client gets.
    pub(crate) async fn check(&self, user: Option<&[u8]>, password: &[u8], session: Session) -> Result<Option<OwnUser>, Vec<u8>> {
        let asked = tokio::time::timeout(self.source.timeout, self.ask(user, password, session)).await;
        let Ok(Ok((frame, connection, id))) = asked else {
            return Err(error_reply("ERR interlay: source unavailable; the credentials were not checked, try again"));
        };
        if let Frame::SimpleError { data, .. } = frame {
            return Err(error_reply(&data));
        }
        let user = user.unwrap_or(b"default");
        Ok((user != self.lane_user().as_bytes()).then(|| OwnUser { name: user.to_vec(), connection, id }))
    }

    fn lane_user(&self) -> &str {
        self.source.endpoint.user.as_deref().unwrap_or("default")
    }

    async fn ask(&self, user: Option<&[u8]>, password: &[u8], session: Session) -> Result<(Frame, Connection, Option<i64>), DialError> {
        // Never closed, so that there is always a turn.
        let _turn = self.at_once.acquire().await;
        let mut connection = Connection::open(&self.source.endpoint, self.source.tls.as_ref()).await?;
        let is_lanes = user.unwrap_or(b"default") == self.lane_user().as_bytes();
        // With the lane's rights, because the user may have none to any of this.
        let id = if is_lanes {
            None
        } else {
            connection.authenticate(&self.source.endpoint).await?;
            connection.settle_in(session, &[]).await?
        };
        let verdict = connection.call(&credentials(user, password)).await?;
        Ok((verdict, connection, id))
    }
}

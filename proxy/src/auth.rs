//! Credentials of clients: the source itself checks them, on a connection made for it.
//!
//! A client then uses the lane, which has the rights of the endpoint's own user. So that nobody gains rights by going
//! through Interlay, only that user's credentials are accepted.

use std::time::Duration;

use interlay_resp::Frame;
use tokio::sync::Semaphore;

use crate::dial::{Connection, DialError, credentials};
use crate::endpoint::Endpoint;
use crate::session::error_reply;
use crate::tls::SideTls;

/// Checks clients' credentials.
#[derive(Debug)]
pub(crate) struct Authenticator {
    /// The source.
    pub(crate) endpoint: Endpoint,
    /// Its TLS.
    pub(crate) tls: Option<SideTls>,
    /// Time for one check, waiting for its turn included.
    pub(crate) timeout: Duration,
    /// How many checks the source gets at once: after a restart all clients come together.
    pub(crate) at_once: Semaphore,
}

impl Authenticator {
    /// Asks the source about a client's credentials.
    ///
    /// # Errors
    /// The reply that the client gets.
    pub(crate) async fn check(&self, user: Option<&[u8]>, password: &[u8]) -> Result<(), Vec<u8>> {
        let asked = tokio::time::timeout(self.timeout, self.ask(user, password)).await;
        let Ok(Ok(frame)) = asked else {
            return Err(error_reply("ERR interlay: source unavailable; the credentials were not checked, try again"));
        };
        if let Frame::SimpleError { data, .. } = frame {
            return Err(error_reply(&data));
        }
        let lane_user = self.endpoint.user.as_deref().unwrap_or("default");
        let user = user.unwrap_or(b"default");
        if user == lane_user.as_bytes() {
            return Ok(());
        }
        let user = String::from_utf8_lossy(user);
        let text =
            format!("ERR interlay: user '{user}' is not '{lane_user}', whose rights the lane has; this version serves no other user");
        Err(error_reply(&text))
    }

    async fn ask(&self, user: Option<&[u8]>, password: &[u8]) -> Result<Frame, DialError> {
        // Never closed, so that there is always a turn.
        let _turn = self.at_once.acquire().await;
        let mut connection = Connection::open(&self.endpoint, self.tls.as_ref()).await?;
        connection.call(&credentials(user, password)).await
    }
}

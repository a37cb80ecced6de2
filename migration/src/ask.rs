//! How a server is asked, and how its answers are read.

use std::borrow::Cow;
use std::future::Future;

use interlay_resp::Frame;

/// A command with its arguments.
pub type Request = Vec<Vec<u8>>;

/// A connection to a server. It is of no use any more after an error.
pub trait Ask {
    /// Sends all requests at once, and gives one reply each, in their order. Replies of the server that are errors are frames.
    ///
    /// # Errors
    /// [`AskError`] if the connection is lost, or the server does not answer in time.
    fn ask_all(&mut self, requests: &[Request]) -> impl Future<Output = Result<Vec<Frame>, AskError>>;
}

/// Why there is no reply, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AskError(pub String);

/// Asks one thing.
///
/// # Errors
/// As of [`Ask::ask_all`].
pub(crate) async fn ask(server: &mut impl Ask, line: &str) -> Result<Frame, AskError> {
    server.ask_all(&[request(line)]).await?.pop().ok_or_else(|| AskError("no reply".to_owned()))
}

/// A request in words, with a space between two.
pub(crate) fn request(line: &str) -> Request {
    line.split(' ').map(|arg| arg.as_bytes().to_vec()).collect()
}

/// What is in a reply, as far as it is what is expected.
pub(crate) trait Reply {
    /// The text of an error.
    fn error(&self) -> Option<Cow<'_, str>>;
    /// A string of any kind, but no error.
    fn text(&self) -> Option<Cow<'_, str>>;
    /// The bytes of a string.
    fn bytes(&self) -> Option<&[u8]>;
    /// A number, or a string that is one.
    fn number(&self) -> Option<u64>;
    /// The entries of an array, or of a map one behind the other; none of anything else.
    fn entries(&self) -> &[Frame];
}

impl Reply for Frame {
    fn error(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::SimpleError { data, .. } => Some(Cow::Borrowed(data)),
            Self::BlobError { data, .. } => Some(String::from_utf8_lossy(data)),
            _ => None,
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        self.bytes().map(String::from_utf8_lossy)
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::BlobString { data, .. } | Self::SimpleString { data, .. } | Self::VerbatimString { data, .. } => Some(data),
            _ => None,
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Number { data, .. } => u64::try_from(*data).ok(),
            other => other.text()?.parse().ok(),
        }
    }

    fn entries(&self) -> &[Frame] {
        match self {
            Self::Array { data, .. } => data,
            _ => &[],
        }
    }
}

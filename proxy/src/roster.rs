//! What a user of a server asks about its clients, told of Interlay's: CLIENT LIST, KILL, PAUSE and the like, and INFO.
//!
//! In: a request whose number of arguments the command table has found right, and [`Facts`] of the clients. Out: what is
//! wanted, or the reply to send. No sockets and no state: who the clients are, and doing what is wanted, is the caller's.
//!
//! Texts and the order of checks are those of Redis 7.0, measured with 7.0.15; what came later, with 8.2.3.

mod attribute;
mod facts;
mod flags;
mod info;
mod kill;
mod kind;
mod list;
mod pause;
mod redirect;
mod switch;
mod unblock;
mod wording;

pub(crate) use attribute::{Attribute, check_name};
pub(crate) use facts::{Facts, Library};
pub(crate) use flags::Flags;
pub(crate) use info::InfoEdit;
pub(crate) use kill::{KillContext, KillFilter};
pub(crate) use kind::ClientKind;
pub(crate) use list::ListFilter;
pub(crate) use pause::Pause;
pub(crate) use redirect::Redirect;
pub(crate) use switch::{ReplyMode, switch};
pub(crate) use unblock::{Unblock, UnblockAs};
pub(crate) use wording::{OK, Parsed, integer, text};

/// Requests for the unit tests.
#[cfg(test)]
mod request {
    use interlay_resp::{Request, encode_request};

    /// The request of these arguments.
    pub(super) fn of<'a>(args: &[&str], bytes: &'a mut Vec<u8>) -> Request<'a> {
        bytes.clear();
        encode_request(args, bytes);
        Request::new(bytes, args.len())
    }

    /// What `parse` makes of the words of `line`; its error as text.
    pub(super) fn parsed<T>(line: &str, parse: impl FnOnce(Request<'_>) -> super::Parsed<T>) -> Result<T, String> {
        let words: Vec<&str> = line.split(' ').collect();
        parse(of(&words, &mut Vec::new())).map_err(|reply| {
            let text = String::from_utf8_lossy(&reply).into_owned();
            text.strip_prefix('-').and_then(|text| text.strip_suffix("\r\n")).expect("it is an error reply").to_owned()
        })
    }
}

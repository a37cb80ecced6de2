//! CLIENT LIST: which clients are wanted, and their lines.

use interlay_resp::Request;

use super::wording::{Parsed, number, refusal, syntax_error};
use super::{ClientKind, Facts};

/// The clients that a CLIENT LIST wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListFilter {
    /// All.
    All,
    /// Those of one kind.
    Kind(ClientKind),
    /// Those of these ids, in this order, as often as they are named. Ids that no client has are no error.
    Ids(Vec<i64>),
}

impl ListFilter {
    /// What CLIENT LIST wants.
    ///
    /// # Errors
    ///
    /// The error reply to a request that wants nothing.
    pub(crate) fn parse(request: Request<'_>) -> Parsed<Self> {
        let mut args = request.args().skip(2);
        let Some(option) = args.next() else { return Ok(Self::All) };
        match request.argc() {
            4 if option.eq_ignore_ascii_case(b"type") => ClientKind::parse(args.next().unwrap_or_default()).map(Self::Kind),
            4.. if option.eq_ignore_ascii_case(b"id") => {
                args.map(number).collect::<Option<_>>().map_or_else(|| refusal(&[b"ERR Invalid client ID"]), |ids| Ok(Self::Ids(ids)))
            }
            _ => syntax_error(),
        }
    }

    /// The lines of those of `clients` that are wanted, ordered by id, the order in which clients connect.
    pub(crate) fn lines<'a>(&self, clients: impl IntoIterator<Item = Facts<'a>>) -> Vec<u8> {
        let mut clients: Vec<_> = clients.into_iter().filter(|client| self.may_want(client)).collect();
        clients.sort_unstable_by_key(|client| client.id);
        match self {
            Self::All | Self::Kind(_) => clients.iter().flat_map(Facts::line).collect(),
            Self::Ids(ids) => {
                let find = |id: &i64| clients.binary_search_by_key(&i128::from(*id), |client| client.id.into()).ok();
                ids.iter().filter_map(find).filter_map(|at| clients.get(at)).flat_map(Facts::line).collect()
            }
        }
    }

    fn may_want(&self, client: &Facts<'_>) -> bool {
        match self {
            Self::All | Self::Ids(_) => true,
            Self::Kind(kind) => *kind == ClientKind::of(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::super::facts::tests::client;
    use super::super::request::parsed;
    use super::*;

    #[test]
    fn what_is_wanted() {
        for (line, expected) in [
            ("CLIENT LIST", Ok(ListFilter::All)),
            ("CLIENT LIST TYPE NORMAL", Ok(ListFilter::Kind(ClientKind::Normal))),
            ("client list type master", Ok(ListFilter::Kind(ClientKind::Master))),
            ("CLIENT LIST TYPE replica", Ok(ListFilter::Kind(ClientKind::Replica))),
            ("CLIENT LIST TYPE slave", Ok(ListFilter::Kind(ClientKind::Replica))),
            ("CLIENT LIST TYPE PubSub", Ok(ListFilter::Kind(ClientKind::PubSub))),
            ("CLIENT LIST ID 3", Ok(ListFilter::Ids(vec![3]))),
            ("CLIENT LIST Id 3 -1 3", Ok(ListFilter::Ids(vec![3, -1, 3]))),
            // Measured with 7.0.15.
            ("CLIENT LIST x", Err("ERR syntax error")),
            ("CLIENT LIST TYPE", Err("ERR syntax error")),
            ("CLIENT LIST TYPE foo", Err("ERR Unknown client type 'foo'")),
            ("CLIENT LIST TYPE a\r\nb\0c", Err("ERR Unknown client type 'a  b'")),
            ("CLIENT LIST TYPE normal x", Err("ERR syntax error")),
            ("CLIENT LIST TYPE normal ID 1", Err("ERR syntax error")),
            ("CLIENT LIST ID", Err("ERR syntax error")),
            ("CLIENT LIST ID x", Err("ERR Invalid client ID")),
            ("CLIENT LIST ID 3 x", Err("ERR Invalid client ID")),
            ("CLIENT LIST ID 01", Err("ERR Invalid client ID")),
            ("CLIENT LIST ID 99999999999999999999", Err("ERR Invalid client ID")),
            ("CLIENT LIST ID TYPE normal", Err("ERR Invalid client ID")),
            ("CLIENT LIST foo bar baz", Err("ERR syntax error")),
        ] {
            assert_eq!(parsed(line, ListFilter::parse), expected.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn lines_are_ordered_by_id_or_as_asked_for() {
        let subscriber = || Facts { flags: Flags { pubsub: true, ..Flags::default() }, ..client(3) };
        for (filter, ids) in [
            (ListFilter::All, vec![1, 2, 3]),
            (ListFilter::Kind(ClientKind::Normal), vec![1, 2]),
            (ListFilter::Kind(ClientKind::PubSub), vec![3]),
            (ListFilter::Kind(ClientKind::Master), vec![]),
            // Named twice, listed twice: with 7.0.15.
            (ListFilter::Ids(vec![3, 1, 99, -1, 3]), vec![3, 1, 3]),
        ] {
            let lines = String::from_utf8(filter.lines([client(2), subscriber(), client(1)])).expect("lines are text");
            let listed: Vec<u64> = lines
                .lines()
                .map(|line| line.split([' ', '=']).nth(1).and_then(|id| id.parse().ok()).expect("a line starts with its id"))
                .collect();
            assert_eq!(listed, ids, "{filter:?}");
        }
    }
}

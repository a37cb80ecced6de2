//! CLIENT KILL: which clients are meant, in its old form (an address) and its new one (filters).

use interlay_resp::Request;

use super::wording::{OK, Parsed, integer, number, quoted, refusal, syntax_error};
use super::{ClientKind, Facts};

/// The clients that a CLIENT KILL means: those that all of its filters agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KillFilter<'a> {
    form: Form,
    /// The client that asks, if it is not meant itself.
    spared: Option<u64>,
    id: Option<i64>,
    kind: Option<ClientKind>,
    user: Option<&'a [u8]>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    age_secs_min: Option<i64>,
}

/// What the reply looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `CLIENT KILL addr:port`: an error if there is none.
    Old,
    /// `CLIENT KILL filter value ...`: their number.
    New,
}

/// What a CLIENT KILL is checked against besides its own words.
pub(crate) struct KillContext<F> {
    /// The id of the client that asks.
    pub(crate) asking: u64,
    /// Whether the server knows the filter MAXAGE: from 7.4 on.
    pub(crate) max_age: bool,
    /// Whether the server has this user.
    pub(crate) user_exists: F,
}

impl<'a> KillFilter<'a> {
    /// What CLIENT KILL means. Of a filter that is given twice the last one counts.
    ///
    /// # Errors
    ///
    /// The error reply to the first filter that is wrong.
    pub(crate) fn parse(request: Request<'a>, context: KillContext<impl Fn(&[u8]) -> bool>) -> Parsed<Self> {
        let mut filter = Self {
            form: Form::New,
            spared: Some(context.asking),
            id: None,
            kind: None,
            user: None,
            addr: None,
            laddr: None,
            age_secs_min: None,
        };
        let mut args = request.args().skip(2);
        if request.argc() == 3 {
            return Ok(Self { form: Form::Old, spared: None, addr: args.next(), ..filter });
        }
        while let Some(name) = args.next() {
            let Some(value) = args.next() else { return syntax_error() };
            match name.to_ascii_lowercase().as_slice() {
                b"id" => match number(value) {
                    Some(id @ 1..) => filter.id = Some(id),
                    _ => return refusal(&[b"ERR client-id should be greater than 0"]),
                },
                b"type" => filter.kind = Some(ClientKind::parse(value)?),
                b"addr" => filter.addr = Some(value),
                b"laddr" => filter.laddr = Some(value),
                b"user" if (context.user_exists)(value) => filter.user = Some(value),
                b"user" => return refusal(&[b"ERR No such user '", quoted(value), b"'"]),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.spared = Some(context.asking),
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.spared = None,
                b"maxage" if context.max_age => match number(value) {
                    Some(age @ 1..) => filter.age_secs_min = Some(age),
                    Some(_) => return refusal(&[b"ERR maxage should be greater than 0"]),
                    None => return refusal(&[b"ERR maxage is not an integer or out of range"]),
                },
                _ => return syntax_error(),
            }
        }
        Ok(filter)
    }

    /// Whether this client is meant.
    pub(crate) fn matches(&self, client: &Facts<'_>) -> bool {
        self.spared.is_none_or(|id| id != client.id)
            && self.id.is_none_or(|id| i128::from(id) == i128::from(client.id))
            && self.kind.is_none_or(|kind| kind == ClientKind::of(client))
            && self.user.is_none_or(|user| user == client.user)
            && self.age_secs_min.is_none_or(|age| i128::from(age) <= i128::from(client.age_secs))
            && self.addr.is_none_or(|addr| addr == client.addr.to_string().as_bytes())
            && self.laddr.is_none_or(|addr| addr == client.laddr.to_string().as_bytes())
    }

    /// The reply when `killed` clients were meant. The client that asks gets it also if it is one of them.
    pub(crate) fn reply(&self, killed: usize) -> Vec<u8> {
        match self.form {
            Form::Old if killed == 0 => b"-ERR No such client\r\n".to_vec(),
            Form::Old => OK.to_vec(),
            Form::New => integer(killed as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::super::facts::tests::client;
    use super::super::request;
    use super::*;

    const ASKING: u64 = 1;

    /// Three clients: the one that asks, an old one of another user, and a subscriber.
    fn clients() -> [Facts<'static>; 3] {
        let subscriber = Flags { pubsub: true, ..Flags::default() };
        [client(ASKING), Facts { user: b"bob", age_secs: 100, ..client(2) }, Facts { flags: subscriber, ..client(3) }]
    }

    /// The ids of the clients that `line` kills, and the reply.
    fn kill(line: &str, max_age: bool) -> (Vec<u64>, String) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = Vec::new();
        let context = KillContext { asking: ASKING, max_age, user_exists: |name: &[u8]| matches!(name, b"default" | b"bob") };
        let (killed, reply) = match KillFilter::parse(request::of(&words, &mut bytes), context) {
            Ok(filter) => {
                let killed: Vec<u64> = clients().iter().filter(|client| filter.matches(client)).map(|client| client.id).collect();
                let reply = filter.reply(killed.len());
                (killed, reply)
            }
            Err(reply) => (Vec::new(), reply),
        };
        (killed, String::from_utf8_lossy(&reply).trim_end().to_owned())
    }

    #[test]
    fn who_is_killed() {
        for (line, killed, reply) in [
            ("CLIENT KILL 127.0.0.1:2", vec![2], "+OK"),
            // The old form does not spare the one that asks.
            ("CLIENT KILL 127.0.0.1:1", vec![1], "+OK"),
            ("CLIENT KILL ADDR 127.0.0.1:1", vec![], ":0"),
            ("CLIENT KILL ADDR 127.0.0.1:1 SKIPME No", vec![1], ":1"),
            ("CLIENT KILL SKIPME no SKIPME yes", vec![2, 3], ":2"),
            ("CLIENT KILL LADDR 127.0.0.1:6380", vec![2, 3], ":2"),
            ("CLIENT KILL LADDR 127.0.0.1:6380 ADDR x", vec![], ":0"),
            ("client kill id 2", vec![2], ":1"),
            ("CLIENT KILL ID 9999 ID 3", vec![3], ":1"),
            ("CLIENT KILL ID 3 ID 9999", vec![], ":0"),
            ("CLIENT KILL TYPE normal", vec![2], ":1"),
            ("CLIENT KILL TYPE pubsub", vec![3], ":1"),
            ("CLIENT KILL TYPE master", vec![], ":0"),
            ("CLIENT KILL USER default SKIPME no", vec![1, 3], ":2"),
            ("CLIENT KILL USER bob TYPE pubsub", vec![], ":0"),
            ("CLIENT KILL MAXAGE 100", vec![2], ":1"),
            ("CLIENT KILL MAXAGE 101", vec![], ":0"),
        ] {
            assert_eq!(kill(line, true), (killed, reply.to_owned()), "{line}");
        }
    }

    #[test]
    fn wrong_uses_get_redis_s_errors() {
        for (line, reply) in [
            // Measured with 7.0.15.
            ("CLIENT KILL foo", "-ERR No such client"),
            ("CLIENT KILL id", "-ERR No such client"),
            ("CLIENT KILL ID 5 TYPE", "-ERR syntax error"),
            ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID -3", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 99999999999999999999", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 0 FOO bar", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 99 FOO", "-ERR syntax error"),
            ("CLIENT KILL ID 99 FOO bar", "-ERR syntax error"),
            ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
            ("CLIENT KILL TYPE foo ID 0", "-ERR Unknown client type 'foo'"),
            ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'"),
            ("CLIENT KILL USER Default", "-ERR No such user 'Default'"),
            ("CLIENT KILL USER nobody ADDR", "-ERR No such user 'nobody'"),
            ("CLIENT KILL USER nobody SKIPME maybe", "-ERR No such user 'nobody'"),
            ("CLIENT KILL SKIPME maybe", "-ERR syntax error"),
            ("CLIENT KILL FOO bar", "-ERR syntax error"),
            ("CLIENT KILL MAXAGE 10", "-ERR syntax error"),
        ] {
            assert_eq!(kill(line, false), (vec![], reply.to_owned()), "{line}");
        }
        for (line, reply) in [
            // Measured with 8.2.3.
            ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
            ("CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0"),
            ("CLIENT KILL MAXAGE -1", "-ERR maxage should be greater than 0"),
            ("CLIENT KILL MAXAGE 1 SKIPME", "-ERR syntax error"),
        ] {
            assert_eq!(kill(line, true), (vec![], reply.to_owned()), "{line}");
        }
    }
}

//! Where CLIENT TRACKING wants invalidations to go. Everything else of it the server itself checks.

use interlay_resp::{Request, encode_request};

use super::wording::number;

/// The option REDIRECT of a CLIENT TRACKING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// Which argument the id is.
    pub(crate) at: usize,
    /// The client's id as Interlay tells it; any number, also one that no client can have.
    pub(crate) id: i64,
}

impl Redirect {
    /// The first REDIRECT; the server refuses a second one. None if there is none with a number before the option that
    /// the server complains of first.
    pub(crate) fn find(request: Request<'_>) -> Option<Self> {
        let mut args = request.args().enumerate().skip(3);
        while let Some((_, option)) = args.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"redirect" => return args.next().and_then(|(at, id)| Some(Self { at, id: number(id)? })),
                b"prefix" => drop(args.next()),
                b"bcast" | b"optin" | b"optout" | b"noloop" => {}
                _ => return None,
            }
        }
        None
    }

    /// The same request for the server, where that client's connection has the id `id`. 0 is nobody's.
    pub(crate) fn rewrite(self, request: Request<'_>, id: u64) -> Vec<u8> {
        let id = id.to_string();
        let args: Vec<&[u8]> = request.args().enumerate().map(|(index, arg)| if index == self.at { id.as_bytes() } else { arg }).collect();
        let mut bytes = Vec::with_capacity(request.bytes().len() + id.len());
        encode_request(args, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;

    #[test]
    fn the_first_redirect_is_found_and_replaced() {
        for (line, expected) in [
            ("CLIENT TRACKING ON REDIRECT 7", Some((4, 7, "CLIENT TRACKING ON REDIRECT 1234"))),
            ("client tracking off redirect 7", Some((4, 7, "client tracking off redirect 1234"))),
            (
                "CLIENT TRACKING ON BCAST PREFIX redirect Redirect -1 NOLOOP",
                Some((7, -1, "CLIENT TRACKING ON BCAST PREFIX redirect Redirect 1234 NOLOOP")),
            ),
            ("CLIENT TRACKING ON OPTIN REDIRECT 7 REDIRECT 8", Some((5, 7, "CLIENT TRACKING ON OPTIN REDIRECT 1234 REDIRECT 8"))),
            ("CLIENT TRACKING foo REDIRECT 7 FOO", Some((4, 7, "CLIENT TRACKING foo REDIRECT 1234 FOO"))),
            // The server's words are for the option before it, or for what stands there.
            ("CLIENT TRACKING ON FOO REDIRECT 7", None),
            ("CLIENT TRACKING ON REDIRECT x", None),
            ("CLIENT TRACKING ON REDIRECT", None),
            ("CLIENT TRACKING ON BCAST PREFIX REDIRECT", None),
            ("CLIENT TRACKING ON", None),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let mut bytes = Vec::new();
            let request = request::of(&words, &mut bytes);
            let found = Redirect::find(request);
            assert_eq!(found, expected.map(|(at, id, _)| Redirect { at, id }), "{line}");
            if let (Some(redirect), Some((_, _, rewritten))) = (found, expected) {
                let words: Vec<&str> = rewritten.split(' ').collect();
                assert_eq!(redirect.rewrite(request, 1234), request::of(&words, &mut Vec::new()).bytes(), "{line}");
            }
        }
    }
}

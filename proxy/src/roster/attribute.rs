//! What a client says of itself: CLIENT SETNAME and CLIENT SETINFO.

use interlay_resp::Request;

use super::wording::{Parsed, quoted, refusal};

/// What CLIENT SETINFO sets. An empty value unsets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute<'a> {
    /// The library's name.
    LibraryName(&'a [u8]),
    /// The library's version.
    LibraryVersion(&'a [u8]),
}

impl<'a> Attribute<'a> {
    /// What CLIENT SETINFO sets.
    ///
    /// # Errors
    ///
    /// The error reply to an unknown attribute, or to a value that would make CLIENT LIST unreadable.
    pub(crate) fn parse(request: Request<'a>) -> Parsed<Self> {
        let [attribute, value] = [2, 3].map(|index| request.arg(index).unwrap_or_default());
        let set = match attribute.to_ascii_lowercase().as_slice() {
            b"lib-name" => Self::LibraryName(value),
            b"lib-ver" => Self::LibraryVersion(value),
            _ => return refusal(&[b"ERR Unrecognized option '", quoted(attribute), b"'"]),
        };
        check(attribute, value).map(|()| set)
    }
}

/// Whether a client may have this name; an empty one unsets it.
///
/// # Errors
///
/// The error reply to a name that would make CLIENT LIST unreadable.
pub(crate) fn check_name(name: &[u8]) -> Parsed<()> {
    check(b"Client names", name)
}

/// Values are printable and have no blanks, so that CLIENT LIST stays readable.
fn check(what: &[u8], value: &[u8]) -> Parsed<()> {
    if value.iter().all(u8::is_ascii_graphic) {
        Ok(())
    } else {
        refusal(&[b"ERR ", what, b" cannot contain spaces, newlines or special characters."])
    }
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;

    #[test]
    fn names_are_printable() {
        for name in ["", "!~", "a-b_c(1)"] {
            assert_eq!(check_name(name.as_bytes()), Ok(()), "{name}");
        }
        for name in [b"a b".as_slice(), b"a\n", "é".as_bytes(), b"\x7f"] {
            // Measured with 7.0.15.
            let reply = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n".to_vec();
            assert_eq!(check_name(name), Err(reply), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn what_a_library_says_of_itself() {
        let set = |attribute, value| {
            let mut bytes = Vec::new();
            let request = request::of(&["CLIENT", "SETINFO", attribute, value], &mut bytes);
            match Attribute::parse(request) {
                Ok(Attribute::LibraryName(value)) => format!("name {}", value.escape_ascii()),
                Ok(Attribute::LibraryVersion(value)) => format!("version {}", value.escape_ascii()),
                Err(reply) => String::from_utf8_lossy(&reply).trim_end().to_owned(),
            }
        };
        for (attribute, value, expected) in [
            ("LIB-NAME", "redis(x_v1)", "name redis(x_v1)"),
            ("lib-name", "", "name "),
            ("Lib-Ver", "1.0", "version 1.0"),
            // Measured with 8.2.3.
            ("foo", "bar", "-ERR Unrecognized option 'foo'"),
            ("foo", "a b", "-ERR Unrecognized option 'foo'"),
            ("x\r\ny\0z", "q", "-ERR Unrecognized option 'x  y'"),
            ("lib-name", "a b", "-ERR lib-name cannot contain spaces, newlines or special characters."),
            ("LIB-ver", "a\nb", "-ERR LIB-ver cannot contain spaces, newlines or special characters."),
        ] {
            assert_eq!(set(attribute, value), expected, "{attribute} {value}");
        }
    }
}

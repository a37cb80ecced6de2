//! What differs from a direct connection on purpose. Each is in README's list too.

/// Calls that get another reply than the server's, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// How the calls begin, in capitals.
    pub(crate) begins: &'static str,
    /// One of them.
    pub(crate) example: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference { begins: "REPLCONF", example: "REPLCONF NOSUCH x", why: "replication does not go through a proxy" },
    Difference { begins: "MULTI REPLCONF", example: "MULTI; REPLCONF NOSUCH x; EXEC", why: "replication does not go through a proxy" },
    Difference { begins: "MULTI SYNC", example: "MULTI; SYNC; EXEC", why: "replication does not go through a proxy" },
    Difference { begins: "SCRIPT DEBUG ", example: "SCRIPT DEBUG NO", why: "the debugger's dialogue does not go through a proxy" },
    Difference { begins: "MULTI AUTH", example: "MULTI; AUTH pw; EXEC", why: "the user is not changed inside of a transaction" },
    Difference { begins: "MULTI HELLO", example: "MULTI; HELLO; EXEC", why: "the protocol is not changed inside of a transaction" },
    Difference { begins: "MULTI SUBSCRIBE", example: "MULTI; SUBSCRIBE a; EXEC", why: "its confirmations would not be one reply each" },
    Difference { begins: "MULTI CLIENT REPLY OFF", example: "MULTI; CLIENT REPLY OFF; EXEC", why: "EXEC would not have one reply each" },
    Difference { begins: "MULTI CLIENT REPLY SKIP", example: "MULTI; CLIENT REPLY SKIP; EXEC", why: "EXEC would not have one reply each" },
];

/// Whether a request, in words, is one of those that differ.
pub(crate) fn is_listed(request: &str) -> bool {
    let request = request.to_uppercase();
    DIFFERENCES.iter().any(|difference| request.starts_with(difference.begins))
}

//! Bounds on what a peer may send.

/// Bounds on requests and replies, one value for a connection's whole life.
///
/// The defaults are those of a Redis 7 server, so that nothing is refused here that the server takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest bulk string, and longest text line of a reply.
    ///
    /// Unit: bytes. Default: 512 MiB, the server's `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// Most arguments of a request, most entries of one aggregate in a reply.
    ///
    /// Unit: entries. Default: `i32::MAX`, as in Redis 7.
    pub multibulk_len_max: usize,
    /// Longest inline request and longest header line (`*3`, `$5`) of a request, without its end of line.
    ///
    /// Unit: bytes. Default: 64 KiB. Redis may let a longer one pass if it arrives in one read; here the
    /// answer does not depend on how the bytes were cut.
    pub inline_bytes_max: usize,
    /// Longest request, all arguments together.
    ///
    /// Unit: bytes. Default: 1 GiB, the server's `client-query-buffer-limit`.
    pub request_bytes_max: usize,
    /// Deepest nesting of aggregates in a reply; a flat array counts as one.
    ///
    /// Unit: levels. Default: 128. Redis's own commands nest a handful of levels, scripts a few more; and
    /// recursion over a frame of this depth stays far from the end of a thread's stack.
    pub nesting_max: usize,
    /// Most arguments of a request before authentication.
    ///
    /// Unit: arguments. Default: 10, as in Redis.
    pub unauthenticated_multibulk_len_max: usize,
    /// Longest argument of a request before authentication.
    ///
    /// Unit: bytes. Default: 16 KiB, as in Redis.
    pub unauthenticated_bulk_bytes_max: usize,
}

impl Limits {
    /// The bounds of replies that are passed on and not decoded: a server may send longer strings than a client, and a
    /// script's tables nest as deep as its interpreter's stack, some 8,000 levels.
    #[must_use]
    pub fn of_replies() -> Self {
        Self { bulk_bytes_max: usize::MAX / 2, nesting_max: 1 << 16, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: 512 << 20,
            multibulk_len_max: i32::MAX as usize,
            inline_bytes_max: 64 << 10,
            request_bytes_max: 1 << 30,
            nesting_max: 128,
            unauthenticated_multibulk_len_max: 10,
            unauthenticated_bulk_bytes_max: 16 << 10,
        }
    }
}

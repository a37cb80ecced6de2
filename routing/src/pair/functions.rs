//! Functions are no key, and no scan finds them: they are copied as a whole.

use super::LanePair;
use super::repair::Errand;
use crate::dirty::Functions;
use crate::reply::{bulk, is_error};

/// Wait before functions that could not be copied are copied again.
const FUNCTIONS_AGAIN_MS: u64 = 1_000;

/// What a server says that knows no functions, or lets the lane's user have none.
const HAS_NO_FUNCTIONS: &[&[u8]] = &[b"-ERR unknown command", b"-ERR unknown subcommand", b"-NOPERM"];

impl LanePair {
    /// Asks for the authority's functions, if they may differ. What fails is tried again after a while.
    pub(super) fn ask_functions(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if self.dirty.functions() != Functions::Dirty || now_ms < self.functions_due_ms {
            return;
        }
        self.functions_due_ms = now_ms + FUNCTIONS_AGAIN_MS;
        self.scratch.clear();
        interlay_resp::encode_request(["FUNCTION", "DUMP"], &mut self.scratch);
        let db = self.lanes[self.authority].db().unwrap_or(0);
        self.ask(self.authority, db, 1, Errand::Functions);
    }

    pub(super) fn put_functions(&mut self, reply: &[u8]) {
        let has_none = HAS_NO_FUNCTIONS.iter().any(|start| reply.starts_with(start));
        if !has_none && (bulk(reply).is_none() || !self.lanes[!self.authority].is_up()) {
            return;
        }
        self.dirty.functions_copied();
        let Some(payload) = bulk(reply) else { return self.dirty.functions_confirmed() };
        self.scratch.clear();
        interlay_resp::encode_request([&b"FUNCTION"[..], b"RESTORE", payload, b"FLUSH"], &mut self.scratch);
        let db = self.lanes[!self.authority].db().unwrap_or(0);
        self.ask(!self.authority, db, 1, Errand::RestoreFunctions);
    }

    pub(super) fn functions_restored(&mut self, reply: &[u8]) {
        if is_error(reply) && !HAS_NO_FUNCTIONS.iter().any(|start| reply.starts_with(start)) {
            self.counters.repairs_failed += 1;
            self.dirty.mark_functions();
        } else {
            self.dirty.functions_confirmed();
        }
    }
}

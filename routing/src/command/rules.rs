//! Where the keys are in commands whose key specs do not say it, or not exactly.
//!
//! One row a command, one function each. A request that cannot be executed may give any of its arguments.

use interlay_resp::Request;

use super::keys::{Access, KeyRef};

/// Appends the keys of a request.
pub(super) type KeyRule = fn(Request<'_>, &mut Vec<KeyRef>);

const RULES: &[(&str, KeyRule)] = &[
    // Its specs call every request a write.
    ("bitfield", bitfield),
    // Their specs take a key called `store` for the option.
    ("georadius", georadius),
    ("georadiusbymember", georadiusbymember),
    // Its spec is incomplete: a password may be `keys`.
    ("migrate", migrate),
    // Unknown specs: STORE may be anywhere among the options.
    ("sort", sort),
    // Unknown specs, for the patterns; by name it has one key.
    ("sort_ro", sort_ro),
];

/// The rule for this command, if it has one.
pub(super) fn for_command(name: &str) -> Option<KeyRule> {
    RULES.iter().find(|(command, _)| *command == name).map(|&(_, rule)| rule)
}

fn bitfield(request: Request<'_>, out: &mut Vec<KeyRef>) {
    let mut args = request.args().skip(2);
    let mut access = Access::Read;
    while let Some(operation) = args.next() {
        let operands = match operation {
            word if is(word, "get") => 2,
            word if is(word, "overflow") => 1,
            _ => {
                access = Access::Write;
                break;
            }
        };
        args.nth(operands - 1);
    }
    push(request, 1, access, out);
}

fn georadius(request: Request<'_>, out: &mut Vec<KeyRef>) {
    read_and_store(request, 6, &[("count", 1)], &["store", "storedist"], out);
}

fn georadiusbymember(request: Request<'_>, out: &mut Vec<KeyRef>) {
    read_and_store(request, 5, &[("count", 1)], &["store", "storedist"], out);
}

fn sort(request: Request<'_>, out: &mut Vec<KeyRef>) {
    read_and_store(request, 2, &[("by", 1), ("get", 1), ("limit", 2)], &["store"], out);
}

fn sort_ro(request: Request<'_>, out: &mut Vec<KeyRef>) {
    push(request, 1, Access::Read, out);
}

fn migrate(request: Request<'_>, out: &mut Vec<KeyRef>) {
    let mut args = request.args().enumerate().skip(6);
    let mut listed = None;
    while let Some((at, option)) = args.next() {
        if is(option, "keys") {
            listed = Some(at + 1..request.argc());
            break;
        } else if is(option, "auth") {
            args.next();
        } else if is(option, "auth2") {
            args.nth(1);
        }
    }
    match (request.arg(3), listed) {
        (Some(b""), Some(keys)) if !keys.is_empty() => {
            out.extend(keys.map(|arg| KeyRef { arg, access: Access::Write }));
        }
        // A key, and a list of keys: no server executes that.
        (Some(key), Some(_)) if !key.is_empty() => {}
        _ => push(request, 3, Access::Write, out),
    }
}

/// The key at 1 is read; from `options` on, the last of the words in `store` has a key behind it that is
/// written. `skipped` are the other words that have arguments, and how many.
fn read_and_store(request: Request<'_>, options: usize, skipped: &[(&str, usize)], store: &[&str], out: &mut Vec<KeyRef>) {
    push(request, 1, Access::Read, out);
    let mut args = request.args().enumerate().skip(options);
    let mut target = None;
    while let Some((_, word)) = args.next() {
        if store.iter().any(|name| is(word, name)) {
            target = args.next().or(target);
        } else if let Some((_, operands)) = skipped.iter().find(|(name, _)| is(word, name)) {
            args.nth(operands - 1);
        }
    }
    out.extend(target.map(|(arg, _)| KeyRef { arg, access: Access::Write }));
}

fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

fn push(request: Request<'_>, arg: usize, access: Access, out: &mut Vec<KeyRef>) {
    if arg < request.argc() {
        out.push(KeyRef { arg, access });
    }
}

//! `interlay errors`: lists, exports, imports and retries the keys that keep failing to be copied.

use std::io::{Read, Write, stdin};
use std::path::{Path, PathBuf};

use clap::Args;

use super::remote::{Cause, Outcome, conclude, exchange, in_runtime};
use super::repair::{json_lines, table};
use super::{Exit, Remote};
use crate::admin::api::{Errors as Listed, KeyError};
use crate::admin::backfill::{Copy, KeyLine};

/// Keys of one request, and bytes of them, unless there is but one.
const KEYS_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 256 << 10;

/// More than there ever are.
const ALL: usize = 1_000_000;

/// `interlay errors`.
#[derive(Debug, Args)]
pub(crate) struct Errors {
    /// List no more than so many.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Write all of them to a file as JSON Lines, with keys as base64; - is standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["import", "retry"])]
    export: Option<PathBuf>,
    /// Have the keys of such a file copied, whether they are known to differ or not; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "retry")]
    import: Option<PathBuf>,
    /// Try them again at once: all of them, or those that are named.
    #[arg(long)]
    retry: bool,
    /// Of those to be tried again, the ones that match this glob.
    #[arg(long = "match", value_name = "GLOB", requires = "retry")]
    pattern: Option<String>,
    /// Of those to be tried again, the ones of these names, in any database.
    #[arg(value_name = "KEY", requires = "retry", conflicts_with = "pattern")]
    keys: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) fn errors(args: &Errors) -> Outcome {
    let remote = &args.remote;
    in_runtime(remote, async {
        if let Some(file) = &args.import {
            return match read_lines(file) {
                Ok(keys) => copy(remote, keys, "to be copied").await,
                Err(problem) => Ok(Outcome::new(Exit::Usage, Err(problem))),
            };
        }
        let limit = if args.export.is_some() || args.retry { ALL } else { args.limit };
        let answer = exchange(&remote.admin, &format!("/api/v1/errors?limit={limit}"), None::<()>).await?;
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Listed| String::new());
        }
        let listed: Listed = answer.read()?;
        if let Some(file) = &args.export {
            return Ok(export(file, &listed));
        }
        if args.retry {
            return copy(remote, listed.errors.iter().filter(|error| args.wants(error)).map(line).collect(), "tried again").await;
        }
        conclude(&answer, false, |listed: Listed| if remote.json { json_lines(&listed) } else { table(&listed) })
    })
}

/// Only lists.
#[cfg(test)]
pub(super) fn list(remote: &Remote, limit: usize) -> Outcome {
    errors(&Errors { limit, export: None, import: None, retry: false, pattern: None, keys: Vec::new(), remote: remote.clone() })
}

impl Errors {
    fn wants(&self, error: &KeyError) -> bool {
        let key = line(error).bytes().unwrap_or_default();
        match &self.pattern {
            Some(pattern) => matches(pattern.as_bytes(), &key),
            None => self.keys.is_empty() || self.keys.iter().any(|wanted| wanted.as_bytes() == key),
        }
    }
}

fn line(KeyError { db, key_base64, reason, .. }: &KeyError) -> KeyLine {
    KeyLine { db: *db, key: None, key_base64: Some(key_base64.clone()), reason: reason.clone() }
}

fn export(file: &Path, listed: &Listed) -> Outcome {
    let lines = json_lines(listed);
    if file == Path::new("-") {
        return Outcome::new(Exit::Done, Ok(lines));
    }
    let written = std::fs::File::create(file).and_then(|mut file| {
        file.write_all(lines.as_bytes())?;
        file.write_all(if lines.is_empty() { b"" } else { b"\n" })
    });
    match written {
        Err(error) => Outcome::new(Exit::Usage, Err(format!("{}: {error}", file.display()))),
        Ok(()) if (listed.errors.len() as u64) < listed.error_keys => {
            let words = format!("{} of {} keys are in {}: no more fit at once", listed.errors.len(), listed.error_keys, file.display());
            Outcome::new(Exit::No, Err(words))
        }
        Ok(()) => Outcome::new(Exit::Done, Ok(format!("{} keys are in {}", listed.errors.len(), file.display()))),
    }
}

/// The keys of a file of JSON Lines.
fn read_lines(file: &Path) -> Result<Vec<KeyLine>, String> {
    let read = || {
        if file != Path::new("-") {
            return std::fs::read_to_string(file);
        }
        let mut text = String::new();
        stdin().read_to_string(&mut text).map(|_| text)
    };
    let text = read().map_err(|error| format!("{}: {error}", file.display()))?;
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = numbered.map(|(n, line)| {
        let wrong = |what: String| format!("{}, line {}: {what}", file.display(), n + 1);
        let line: KeyLine = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if line.bytes().is_none() { Err(wrong("neither a key nor its base64".to_owned())) } else { Ok(line) }
    });
    parsed.collect()
}

/// Has keys copied, some at a time.
async fn copy(remote: &Remote, keys: Vec<KeyLine>, what: &str) -> Result<Outcome, Cause> {
    let count = keys.len();
    let mut rest = keys.into_iter().peekable();
    while rest.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(line) = rest.next_if(|line| batch.is_empty() || bytes + size(line) <= BYTES_AT_ONCE) {
            bytes += size(&line);
            batch.push(line);
            if batch.len() == KEYS_AT_ONCE {
                break;
            }
        }
        let answer = exchange(&remote.admin, "/api/v1/copy", Some(Copy { keys: batch })).await?;
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: u64| String::new());
        }
    }
    Ok(Outcome::new(Exit::Done, Ok(if remote.json { format!("{{\"keys\":{count}}}") } else { format!("{count} keys are {what}") })))
}

fn size(line: &KeyLine) -> usize {
    [&line.key, &line.key_base64].into_iter().flatten().map(String::len).sum::<usize>() + line.reason.len()
}

/// Whether a glob matches: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, and `\` before what is meant as it is.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        (_, []) => false,
        ([b'?', rest @ ..], [_, behind @ ..]) => matches(rest, behind),
        ([b'[', set @ ..], [byte, behind @ ..]) => {
            let Some(end) = set.iter().skip(1).position(|byte| *byte == b']').map(|at| at + 1) else { return false };
            let (set, rest) = (&set[..end], &set[end + 1..]);
            let (not, mut set) = set.strip_prefix(b"^").map_or((false, set), |set| (true, set));
            let mut found = false;
            while let Some((first, more)) = set.split_first() {
                match more {
                    [b'-', last, others @ ..] => {
                        found |= (first..=last).contains(&byte);
                        set = others;
                    }
                    _ => {
                        found |= first == byte;
                        set = more;
                    }
                }
            }
            found != not && matches(rest, behind)
        }
        ([b'\\', literal, rest @ ..] | [literal, rest @ ..], [byte, behind @ ..]) => literal == byte && matches(rest, behind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_a_server_understands_them() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abbc"), ("h?llo", "hallo"), ("h[ae]llo", "hello"), ("h[^e]llo", "hallo"), ("[a-c]x", "bx"), (r"\*", "*")]
        {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a*c", "abb"), ("h[^e]llo", "hello"), ("[a-c]x", "dx"), (r"\*", "a"), ("a", "")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn lines_of_a_file_are_keys_or_a_problem_with_its_line() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("keys.jsonl");
        std::fs::write(&file, "{\"db\":3,\"key_base64\":\"/wA=\",\"reason\":\"ERR no\",\"attempts\":4}\n\n{\"db\":0,\"key\":\"a\\nb\"}\n")
            .unwrap();
        let keys: Vec<_> = read_lines(&file).unwrap().iter().map(|line| (line.db, line.bytes().unwrap())).collect();
        assert_eq!(keys, [(3, b"\xff\0".to_vec()), (0, b"a\nb".to_vec())]);
        std::fs::write(&file, "{\"db\":3}\n").unwrap();
        assert!(read_lines(&file).unwrap_err().contains("line 1: neither"), "a key is needed");
    }
}

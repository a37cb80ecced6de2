//! What a directory gives back, and when it is refused.

use interlay_routing::IntentStore;
use tempfile::TempDir;

use super::*;

fn identity() -> Identity {
    Identity { source: "127.0.0.1:6379".to_owned(), target: Some("[::1]:6479".to_owned()), policy: Policy::SourceAuthoritative }
}

fn open(dir: &TempDir) -> (State, Bitmap, Found) {
    State::open(dir.path(), &identity()).unwrap_or_else(|error| panic!("{error}"))
}

fn left(dir: &TempDir) -> (State, Bitmap, Left) {
    match open(dir) {
        (state, bitmap, Found::Left(left)) => (state, bitmap, left),
        (_, _, Found::New) => panic!("the directory is new"),
    }
}

fn refusal(path: &Path, identity: &Identity) -> String {
    State::open(path, identity).err().map_or_else(|| panic!("{} is accepted", path.display()), |error| error.to_string())
}

/// A directory that was made, used and left by a process that was killed.
fn used() -> TempDir {
    let dir = TempDir::new().unwrap();
    open(&dir);
    dir
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_a_killed_process_has_set_is_there() {
    let dir = TempDir::new().unwrap();
    let (mut state, mut bitmap, found) = open(&dir);
    assert!(matches!(found, Found::New));
    for (n, bits) in [(0, 1 << 63 | 1), (1, 1), (625, 1), (1023, 1 << 63)] {
        bitmap.set_word(n, bits);
    }
    let standing = Standing { phase: Phase::Cutover, policy: Policy::TargetAuthoritative, ..Standing::new(Policy::BothRequired, true) };
    state.record_standing(standing).unwrap();
    assert!(!state.record_run_id(Side::Source, "one").unwrap());
    // Neither is closed: this is as far as a process gets that is killed.
    drop((state, bitmap));
    let (_, bitmap, left) = left(&dir);
    assert_eq!(bitmap.word(625), 1);
    assert_eq!(left.buckets, [0, 63, 64, 40_000, 65_535]);
    assert_eq!((left.standing, left.suspect, left.clean), (standing, false, false));
    assert_eq!((left.run_ids.source.as_deref(), left.run_ids.target), (Some("one"), None));
}

#[test]
fn what_was_prepared_holds_only_when_it_is_recorded() {
    let dir = TempDir::new().unwrap();
    let (mut state, ..) = open(&dir);
    let next = Standing { phase: Phase::Cutover, policy: Policy::TargetAuthoritative, ..Standing::new(Policy::BothRequired, true) };
    state.prepare(next).unwrap();
    drop(state);
    let (mut state, _, found) = left(&dir);
    assert_eq!(found.standing.phase, Phase::Mirroring, "the process has ended before");
    state.prepare(next).unwrap();
    state.record_standing(Standing { in_sync: true, ..next }).unwrap();
    drop(state);
    let (mut state, _, found) = left(&dir);
    assert!(found.standing.in_sync, "another one than was prepared");
    state.prepare(next).unwrap();
    state.record_standing(next).unwrap();
    drop(state);
    assert_eq!(left(&dir).2.standing, next);
}

#[test]
fn bits_are_in_the_file_at_once() {
    let dir = TempDir::new().unwrap();
    let (_state, mut bitmap, _) = open(&dir);
    bitmap.set_word(1, 0x80);
    assert_eq!(fs::read(dir.path().join(BITS)).unwrap()[4096 + 8..4096 + 16], [0x80, 0, 0, 0, 0, 0, 0, 0]);
    bitmap.set_word(1, 0);
    assert!(bitmap.marked().is_empty());
}

#[test]
fn a_directory_is_made_within_one_that_is_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    let (_, _, found) = State::open(&path, &identity()).unwrap();
    assert!(matches!(found, Found::New));
    let refusal = refusal(&dir.path().join("not-mounted/state"), &identity());
    assert!(refusal.contains("cannot create"), "{refusal}");
}

#[test]
fn what_a_crash_leaves_of_a_creation_is_as_good_as_empty() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("intent.bits.new"), "half").unwrap();
    assert!(matches!(open(&dir).2, Found::New));
}

#[test]
fn a_server_that_is_another_process_makes_every_key_suspect() {
    let dir = TempDir::new().unwrap();
    let (mut state, ..) = open(&dir);
    assert!(!state.record_run_id(Side::Target, "one").unwrap() && !state.record_run_id(Side::Target, "one").unwrap());
    drop(state);
    let (mut state, _, found) = left(&dir);
    assert!(!found.suspect);
    assert!(state.record_run_id(Side::Target, "two").unwrap());
    drop(state);
    let (mut state, _, found) = left(&dir);
    assert_eq!((found.suspect, found.run_ids.target.as_deref()), (true, Some("two")));
    state.record_standing(Standing::new(Policy::default(), true)).unwrap();
    drop(state);
    assert!(!left(&dir).2.suspect);
}

#[test]
fn bits_of_another_boot_count_only_if_the_directory_was_closed() {
    for (closed, expect) in [(true, false), (false, true)] {
        let dir = TempDir::new().unwrap();
        let (mut state, ..) = open(&dir);
        state.update(|record| record.boot_id = Some("another".to_owned())).unwrap();
        if closed {
            state.close().unwrap();
        } else {
            drop(state);
        }
        let (state, _, found) = left(&dir);
        assert_eq!((found.suspect, found.clean), (expect, closed));
        drop(state);
        // And it stays so, though the next process is of the same boot.
        assert_eq!(left(&dir).2.suspect, expect);
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = TempDir::new().unwrap();
    let (state, ..) = open(&dir);
    let refusal = refusal(dir.path(), &identity());
    assert!(refusal.contains("is in use by another process"), "{refusal}");
    drop(state);
    left(&dir);
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let refusal = refusal(dir.path(), &identity());
    assert!(refusal.contains("notes.txt") && refusal.contains("name an empty directory"), "{refusal}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_of_other_servers_is_refused() {
    let dir = used();
    let source = Identity { source: "10.0.0.1:6379".to_owned(), ..identity() };
    let target = Identity { target: None, ..identity() };
    for (other, words) in [
        (source, "is of the source 127.0.0.1:6379, and the source now is 10.0.0.1:6379"),
        (target, "is of the target [::1]:6479, and the target now is none"),
    ] {
        let refusal = refusal(dir.path(), &other);
        assert!(refusal.contains(words) && refusal.contains("interlay repair --all"), "{refusal}");
    }
}

type Change = fn(&mut Vec<u8>);

#[test]
fn a_damaged_file_is_refused_by_name_with_what_to_do() {
    let changes: [(&str, Change, &str); 12] = [
        (IDENTITY, |text| text.clear(), "does not begin as such a file does"),
        (IDENTITY, |text| text[0] = 0xff, "does not begin as such a file does"),
        (IDENTITY, |text| text.truncate(40), "does not match its checksum"),
        (IDENTITY, |text| text.retain(|byte| *byte != b'7'), "does not match its checksum"),
        (IDENTITY, |text| text.extend(b"suspect = false\n"), "does not match its checksum"),
        (IDENTITY, |text| text[9] = b'2', "has format 2, and this version of Interlay knows format 1 only"),
        (BITS, |bits| bits.truncate(4096), "has 4096 bytes instead of 12288"),
        (BITS, |bits| bits.push(0), "has 12289 bytes instead of 12288"),
        (BITS, |bits| bits[0] = b'X', "does not begin as such a file does"),
        (BITS, |bits| bits[16] ^= 1, "does not match its checksum"),
        (BITS, |bits| *bits = bitmap::empty(7), "belongs to another identity.toml"),
        (
            BITS,
            |bits| {
                bits[8] = 9;
                let checksum = xxhash_rust::xxh3::xxh3_64(&bits[..24]);
                bits[24..32].copy_from_slice(&checksum.to_le_bytes());
            },
            "has format 9",
        ),
    ];
    for (name, change, words) in changes {
        let dir = used();
        let file = dir.path().join(name);
        edit(&file, change);
        let refusal = refusal(dir.path(), &identity());
        let expected = format!("{} {words}", file.display());
        assert!(refusal.contains(&expected) && refusal.contains("interlay repair --all"), "{expected}: {refusal}");
    }
}

#[test]
fn a_file_that_is_gone_is_refused_by_name_with_what_to_do() {
    for name in [IDENTITY, BITS] {
        let dir = used();
        let file = dir.path().join(name);
        fs::remove_file(&file).unwrap();
        let refusal = refusal(dir.path(), &identity());
        assert!(refusal.contains(&format!("{} is missing", file.display())) && refusal.contains("delete"), "{refusal}");
        assert!(!file.exists());
    }
}

#[test]
fn a_text_with_its_checksum_that_makes_no_sense_is_refused() {
    let record = Record::new(&identity(), None).to_text();
    assert_eq!(Record::from_text(record.as_bytes()).map(|record| record.to_text()), Ok(record.clone()));
    let (body, _) = record.rsplit_once("checksum").unwrap();
    for (from, to) in [("source-authoritative", "mine"), ("clean = false", "clean = 1"), ("suspect", "suspected")] {
        let body = body.replace(from, to);
        let checksum = xxhash_rust::xxh3::xxh3_64(body.as_bytes());
        let text = format!("{body}checksum = \"{checksum:016x}\"\n");
        assert!(matches!(Record::from_text(text.as_bytes()), Err(Flaw::Content(_))), "{text}");
    }
}

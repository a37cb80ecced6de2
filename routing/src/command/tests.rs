use std::collections::HashSet;

use interlay_resp::{Frame, Request, decode_reply, encode_request};
use proptest::prelude::*;

use super::*;

const ROWS: &str = include_str!("builtin.txt");

fn rows() -> impl Iterator<Item = &'static str> {
    ROWS.lines().filter(|line| !line.starts_with('#'))
}

fn bytes_of<T: AsRef<[u8]>>(args: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(args, &mut bytes);
    bytes
}

fn words(call: &str) -> Vec<&str> {
    call.split(' ').map(|word| if word == "''" { "" } else { word }).collect()
}

fn lookup<'a>(table: &'a CommandTable, call: &str) -> Option<&'a str> {
    let args = words(call);
    table.lookup(Request::new(&bytes_of(&args), args.len())).map(|command| &*command.name)
}

/// The keys of `call` as `1r 2w`, or `unknown`.
fn keys(table: &CommandTable, call: &str) -> String {
    let args = words(call);
    let bytes = bytes_of(&args);
    let request = Request::new(&bytes, args.len());
    let mut out = Vec::new();
    match table.lookup(request).expect("a known command").keys(request, &mut out) {
        Ok(()) => {
            let key = |key: &KeyRef| format!("{}{}", key.arg, if key.access == Access::Read { 'r' } else { 'w' });
            out.iter().map(key).collect::<Vec<_>>().join(" ")
        }
        Err(KeysUnknown) => "unknown".to_owned(),
    }
}

#[test]
fn every_builtin_row_reads_and_writes_back() {
    let mut names = HashSet::new();
    for row in rows() {
        let command = Command::from_row(row).unwrap_or_else(|| panic!("broken row: {row}"));
        assert_eq!(command.to_string(), row);
        assert!(names.insert(command.name), "twice: {row}");
    }
    assert_eq!(CommandTable::builtin().iter().count(), names.len());
    assert!(names.len() > 300);
}

#[test]
fn broken_rows_are_refused() {
    for row in [
        "",
        "get",
        "get x readonly",
        "get 2 nonsense",
        "get 2 readonly read:index=1",
        "get 2 readonly look:index=1:range=0,1,0",
        "get 2 readonly read:index=1:range=0,1",
        "get 2 readonly read:index=1:range=0,0,0",
        "get 2 readonly read:index=1:range=0,1,0:nonsense",
    ] {
        assert!(Command::from_row(row).is_none(), "{row}");
    }
}

#[test]
fn ids_are_the_order_of_the_table() {
    let table = CommandTable::builtin();
    for (place, command) in table.iter().enumerate() {
        assert_eq!(command.id.index(), place);
        assert_eq!(table.by_name(&command.name).map(|found| found.id), Some(command.id));
    }
}

#[test]
fn lookup_ignores_case_and_resolves_subcommands() {
    let table = CommandTable::builtin();
    assert_eq!(lookup(&table, "GeT k"), Some("get"));
    assert_eq!(lookup(&table, "XGROUP CREATE k g 0"), Some("xgroup|create"));
    assert_eq!(lookup(&table, "CONFIG"), Some("config"));
    assert_eq!(table.by_name("config").map(|command| command.kind), Some(Kind::Container));
    assert_eq!(table.by_name("config|get").map(|command| command.kind), Some(Kind::Subcommand));
}

#[test]
fn what_no_server_knows_is_not_found() {
    let table = CommandTable::builtin();
    let long = "x".repeat(1000);
    for call in ["''", "nonsense", "config nonsense", "config|get x", "config get|x", &long, &format!("config {long}")] {
        assert_eq!(lookup(&table, call), None, "{call}");
    }
}

#[test]
fn arity_is_exact_or_a_minimum() {
    let table = CommandTable::builtin();
    let fits = |name, argc| table.by_name(name).expect("a command").arity_ok(argc);
    assert!(fits("get", 2) && !fits("get", 1) && !fits("get", 3));
    assert!(fits("mset", 3) && fits("mset", 1000) && !fits("mset", 2));
}

#[test]
fn flags_carry_the_server_s_names_and_tips() {
    let table = CommandTable::builtin();
    let flags = |name| table.by_name(name).expect("a command").flags;
    assert!(flags("set").contains(Flags::WRITE | Flags::DENYOOM));
    assert!(!flags("set").contains(Flags::WRITE | Flags::FAST));
    assert!(flags("blpop").contains(Flags::BLOCKING));
    assert!(flags("spop").contains(Flags::NONDETERMINISTIC_OUTPUT));
    assert!(flags("smembers").contains(Flags::NONDETERMINISTIC_ORDER));
    assert_eq!(flags("get").names().collect::<Vec<_>>(), ["readonly", "fast"]);
}

#[test]
fn a_command_with_unknown_or_incomplete_specs_has_a_rule() {
    for command in CommandTable::builtin().iter() {
        if !command.names_all_keys() || command.specs.iter().any(|spec| spec.incomplete) {
            assert!(command.rule.is_some(), "{command}");
        }
    }
}

#[test]
fn a_write_with_keys_writes_one_of_them() {
    for command in CommandTable::builtin().iter().filter(|command| command.flags.contains(Flags::WRITE)) {
        let writes = command.specs.iter().any(|spec| spec.access == Access::Write);
        assert!(writes || command.specs.is_empty(), "{command}");
    }
}

#[test]
fn keys_are_where_the_command_takes_them() {
    let table = CommandTable::builtin();
    for (call, expected) in [
        ("get k", "1r"),
        ("ping", ""),
        ("mset a 1 b 2", "1w 3w"),
        ("rename a b", "1w 2w"),
        ("pfmerge d", "1w"),
        ("blpop a b 0", "1w 2w"),
        ("bitop and d a b", "2w 3r 4r"),
        ("object encoding k", "2r"),
        ("memory usage k", "2r"),
        ("xgroup create k g 0", "2w"),
        ("spublish channel m", ""),
        ("zunionstore d 2 a b weights 1 2", "1w 3r 4r"),
        ("blmpop 0 2 a b left", "3w 4w"),
        ("eval s 2 a b c", "3w 4w"),
        ("eval_ro s 1 a b", "3r"),
        ("fcall f 0 a", ""),
        ("xread count 2 streams a b 0 0", "4r 5r"),
        ("xreadgroup group streams streams streams a b 0 0", "5w 6w"),
        ("set k v get", "1w"),
        ("bitfield k overflow set get u8 0", "1r"),
        ("bitfield k get u8 0 incrby u8 0 1", "1w"),
        ("sort k by store get store store d limit 0 store", "1r 7w"),
        ("sort k store a store b", "1r 5w"),
        ("sort_ro k by w_*", "1r"),
        ("georadius k 1 1 1 m count 3 STORE d", "1r 9w"),
        ("georadius k 1 1 1 m storedist store asc", "1r 7w"),
        ("georadius k 1 1 1 m store a storedist b", "1r 9w"),
        ("georadiusbymember k store 1 m store d", "1r 6w"),
        ("migrate h 1 k 0 10 copy", "3w"),
        ("migrate h 1 '' 0 10 auth keys keys a b", "9w 10w"),
        ("migrate h 1 '' 0 10 auth2 keys keys keys a", "10w"),
        ("migrate h 1 '' 0 10", "3w"),
        ("migrate h 1 k 0 10 keys a", ""),
    ] {
        assert_eq!(keys(&table, call), expected, "{call}");
    }
}

#[test]
fn impossible_counts_give_no_keys() {
    let table = CommandTable::builtin();
    for count in ["0", "-1", "3", "01", "+1", "", "x", "9223372036854775807", "18446744073709551615", "99999999999999999999"] {
        for command in ["eval s", "zunionstore d", "lmpop", "zinter"] {
            assert_eq!(keys(&table, &format!("{command} {count} a b").replace("  ", " '' ")), "", "{command} {count}");
        }
    }
}

/// A RESP reply without line ends, which are put where the spaces are.
fn reply(text: &str) -> Frame {
    decode_reply(format!("{text} ").replace(' ', "\r\n").as_bytes()).expect("a reply")
}

#[test]
fn a_server_without_key_specs_keeps_the_builtin_ones() {
    let zunionstore = "*6 $11 ZUNIONSTORE :-4 *2 +write +random :0 :0 :0";
    let table = CommandTable::from_reply(&reply(&format!("*1 {zunionstore}"))).expect("a table");
    assert_eq!(table.iter().count(), CommandTable::builtin().iter().count());
    assert_eq!(keys(&table, "zunionstore d 1 a"), "1w 3r");
    let command = table.by_name("zunionstore").expect("a command");
    assert_eq!(command.flags, Flags::WRITE | Flags::NONDETERMINISTIC_OUTPUT);
}

#[test]
fn an_unknown_command_without_key_specs_has_its_legacy_keys() {
    let read = "*6 $6 m.read :-2 ~1 +readonly :1 :-2 :1";
    let write = "*6 $7 m.write :-2 *1 +write :2 :4 :2";
    let movable = "*6 $6 m.move :-2 *2 +write +movablekeys :1 :1 :1";
    let hidden = "*6 $6 m.hide :-2 *2 +write +movablekeys :0 :0 :0";
    let table = CommandTable::from_reply(&reply(&format!("*4 {read} {write} {movable} {hidden}"))).expect("a table");
    assert_eq!(keys(&table, "m.read a b c"), "1r 2r");
    assert_eq!(keys(&table, "m.write a b c d e"), "2w 4w");
    assert_eq!(keys(&table, "m.move a b"), "unknown");
    assert_eq!(keys(&table, "m.hide a b"), "unknown");
    assert_eq!(keys(&table, "get k"), "1r");
}

#[test]
fn a_server_s_own_specs_and_subcommands_win() {
    let range = "*6 $7 lastkey :0 $7 keystep :1 $5 limit :0";
    let find = format!("$9 find_keys *4 $4 type $5 range $4 spec {range}");
    let begin = "$12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :2";
    let specs = format!("*1 *6 $5 flags *2 +RW +access {begin} {find}");
    let sub = format!("*10 $5 m|sub :-3 *1 +write :2 :2 :1 *0 *1 $23 nondeterministic_output {specs} *0");
    let table = reply(&format!("*1 *10 $1 m :-2 *0 :0 :0 :0 *0 *0 *0 *1 {sub}"));
    let table = CommandTable::reported(&table).expect("a table");
    assert_eq!(table.to_string(), "m -2 -\nm|sub -3 write,nondeterministic_output write:index=2:range=0,1,0\n");
    assert_eq!(lookup(&table, "M SUB x"), Some("m|sub"));
    assert_eq!(keys(&table, "m sub k v"), "2w");
}

#[test]
fn a_reply_of_another_shape_is_refused() {
    let refused = |text| CommandTable::from_reply(&reply(text)).map(|_| ()).expect_err(text);
    assert_eq!(refused("-NOPERM"), TableError::NotAList);
    assert_eq!(refused("$-1"), TableError::NotAList);
    assert_eq!(refused("*1 $-1"), TableError::Entry { position: 0, field: "entry" });
    assert_eq!(refused("*1 *1 $1 m"), TableError::Entry { position: 0, field: "arity" });
    assert_eq!(refused("*1 *2 $1 m :99999"), TableError::Entry { position: 0, field: "arity" });
    let legacy = "*6 $1 m :-2 *0 :1 :1 :-1";
    assert_eq!(refused(&format!("*1 {legacy}")), TableError::Entry { position: 0, field: "first, last or step" });
}

#[test]
fn a_reply_with_too_many_commands_is_refused() {
    let entry = " *6 $1 m :1 *0 :0 :0 :0";
    let text = format!("*20000{}", entry.repeat(20_000));
    assert_eq!(CommandTable::reported(&reply(&text)).map(|_| ()), Err(TableError::TooMany));
}

/// An argument that means something to some command, or anything.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = [
        "0",
        "1",
        "2",
        "3",
        "-1",
        "9223372036854775807",
        "99999999999999999999",
        "",
        "store",
        "STOREDIST",
        "by",
        "get",
        "limit",
        "count",
        "keys",
        "auth",
        "auth2",
        "streams",
        "STREAMS",
        "overflow",
        "incrby",
        "k",
    ];
    prop_oneof![
        4 => prop::sample::select(meaningful.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn keys_of_any_arguments_are_arguments(args in prop::collection::vec(argument(), 0..12)) {
        let table = CommandTable::builtin();
        for command in table.iter() {
            let mut call: Vec<&[u8]> = command.name.split('|').map(str::as_bytes).collect();
            call.extend(args.iter().map(Vec::as_slice));
            let bytes = bytes_of(&call);
            let request = Request::new(&bytes, call.len());
            if command.kind != Kind::Container {
                prop_assert_eq!(table.lookup(request).map(|found| found.id), Some(command.id));
            }
            let mut keys = Vec::new();
            command.keys(request, &mut keys).expect("the built-in table knows its keys");
            prop_assert!(keys.iter().all(|key| key.arg > 0 && key.arg < call.len()), "{} {:?}", command, keys);
            prop_assert!(keys.len() <= call.len());
        }
    }
}

//! The command table beside a real Redis 7.0: the built-in rows, arities, where keys are, and that every write has a rule.
//!
//! `INTERLAY_WRITE_BUILTIN=1 cargo test -p interlay-routing --test command_table` writes the built-in rows anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Process, Stdio};

use interlay_resp::{Frame, Limits, ReplyScan, ReplyScanner, Request, decode_reply, encode_request};
use interlay_routing::command::{Access, Command, CommandTable, Flags};
use interlay_routing::{Catalog, Conduct, Effect, Why, Work};

const BUILTIN: &str = "src/command/builtin.txt";

/// Calls whose keys depend on more than counts and positions. `''` is an empty argument.
const CALLS: &[&str] = &[
    "bitfield k",
    "bitfield k get u8 0 get u8 8",
    "bitfield k overflow set get u8 0",
    "bitfield k overflow wrap incrby u8 0 1",
    "bitfield k GET u8 0 SET u8 0 1",
    "eval s 2 a b c",
    "eval s -1 a",
    "eval s 9223372036854775807 a",
    "fcall f 1 a b",
    "georadius k 1 1 1 m",
    "georadius k 1 1 1 m store d",
    "georadius k 1 1 1 m withcoord withdist count 3 any asc STORE d",
    "georadius k 1 1 1 m count 3 storedist d",
    "georadius k 1 1 1 m store",
    "georadius store store store store m store d",
    "georadius_ro k 1 1 1 m count 3",
    "georadiusbymember k x 1 m store d",
    "georadiusbymember k store 1 m storedist d",
    "migrate h 1 k 0 10",
    "migrate h 1 k 0 10 copy replace",
    "migrate h 1 k 0 10 auth keys",
    "migrate h 1 '' 0 10",
    "migrate h 1 '' 0 10 keys",
    "migrate h 1 '' 0 10 keys a b",
    "migrate h 1 '' 0 10 copy auth keys KEYS a b",
    "migrate h 1 '' 0 10 auth2 u keys keys a b",
    "migrate h 1 '' 0 10 keys a keys b",
    "migrate h 1 k 0 10 keys a b",
    "set k v",
    "set k v get",
    "set k v ex 10 GET nx",
    "sort k",
    "sort k desc alpha",
    "sort k by w_* limit 0 10 get x_* get # asc alpha store d",
    "sort k by store get store store d",
    "sort k limit store store store d",
    "sort k store a store b",
    "sort k store",
    "sort k by",
    "sort_ro k by w_* get x_*",
    "xread streams a 0",
    "xread count 2 block 0 streams a b c 0 0 0",
    "xread STREAMS streams streams 0 0",
    "xread streams a b 0",
    "xreadgroup group g c streams a >",
    "xreadgroup group streams streams count 1 noack streams a b > >",
    "zunionstore d 2 a b weights 1 2 aggregate max",
    "zrangestore d s 0 -1",
    "zunion 2 a b withscores",
    "blmpop 0 2 a b left count 3",
    "bzmpop 0 2 a b min",
    "sintercard 2 a b limit 1",
    "lcs a b idx",
];

/// Commands whose access we report higher than the server does, and why.
const WRITES: &[(&str, &str)] =
    &[("xreadgroup", "the server's flags speak of the entries, which it only reads; the group of the key changes")];

/// Calls of which the server reports other keys than it uses: the call, which arguments are its keys, and why.
const EXEMPT: &[(&str, &[usize], &str)] = &[
    ("eval s 01 a", &[], "EVAL itself refuses that count"),
    ("georadius k 1 1 1 m store a storedist b", &[1, 9], "of several targets only the last is written"),
    ("georadius k 1 1 1 m storedist store asc", &[1, 7], "a key called store is taken for the option"),
    ("pfmerge arg1", &[1], "a destination without a source is refused here, and created by PFMERGE"),
];

#[test]
fn the_builtin_rows_are_the_answer_of_redis_7_0() {
    let Some(mut server) = Server::start_7_0() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BUILTIN);
    let reply = server.call(&["COMMAND"]);
    let reported = CommandTable::reported(&reply).expect("a COMMAND reply").to_string();
    if std::env::var_os("INTERLAY_WRITE_BUILTIN").is_some() {
        let about = "# Every command of Redis 7.0, as it describes them; ../text.rs says how to read a row.\n\
                     # Written by the test command_table, not by hand.\n";
        std::fs::write(&path, format!("{about}{reported}")).expect("a writable file");
    }
    let file = std::fs::read_to_string(&path).expect("the built-in rows");
    let rows: BTreeSet<_> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let reported: BTreeSet<_> = reported.lines().collect();
    let differences: Vec<_> = rows.symmetric_difference(&reported).collect();
    assert!(differences.is_empty(), "only in the file or only of the server: {differences:#?}");
}

#[test]
fn arity_and_keys_are_those_of_the_server() {
    let Some(mut server) = Server::start_7_0() else { return };
    let table = CommandTable::builtin();
    let mut differences = String::new();
    for command in table.iter() {
        for call in generated(command).into_iter().filter(|call| !is_exempt(call)) {
            server.compare(&table, &call, &mut differences);
        }
    }
    for call in CALLS {
        server.compare(&table, &words(call), &mut differences);
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn exempt_calls_have_the_keys_that_the_server_uses() {
    let Some(mut server) = Server::start_7_0() else { return };
    let table = CommandTable::builtin();
    for (call, expected, reason) in EXEMPT {
        let args = words(call);
        let ours: Vec<_> = keys(&table, &args).iter().map(|&(arg, _)| arg).collect();
        assert_eq!(&ours, expected, "{call}");
        let theirs = server.keys(&args);
        assert_ne!(theirs.len(), ours.len(), "no longer so, compare it like the others: {call}: {reason}");
    }
}

#[test]
fn every_write_of_the_builtin_rows_has_a_rule() {
    assert_eq!(writes_without_a_rule(CommandTable::builtin()), <[String; 0]>::default());
}

#[test]
fn every_write_of_the_server_has_a_rule() {
    let reply = Server::start().call(&["COMMAND"]);
    let table = CommandTable::from_reply(&reply).expect("a COMMAND reply");
    assert_eq!(writes_without_a_rule(table), <[String; 0]>::default());
}

/// The writes of which nobody has said what they become on the other side.
fn writes_without_a_rule(table: CommandTable) -> Vec<String> {
    let catalog = Catalog::new(table);
    let writes = catalog.table().iter().filter(|command| command.flags.contains(Flags::WRITE));
    let (without, with): (Vec<_>, Vec<_>) = writes.map(|command| &command.name).partition(|name| {
        let call: Vec<_> = name.split('|').map(str::to_owned).chain((0..3).map(|place| format!("arg{place}"))).collect();
        match catalog.conduct(Request::new(&encoded(&call), call.len())).1 {
            Conduct::Lane(Work::Write(effect)) | Conduct::Waits(effect, _) => effect == Effect::Unrepeatable(Why::NoRule),
            // Without STORE some of them only read.
            // Some only read without STORE, and then they are no writes.
            conduct => conduct == Conduct::Lane(Work::Unknown),
        }
    });
    assert!(with.len() > 100, "a table with writes: {with:?}");
    without.into_iter().map(ToString::to_string).collect()
}

/// Calls from one argument too few on, every argument different. Where keys move, also with a small number in
/// the place of each of the first few: somewhere there is their count.
fn generated(command: &Command) -> Vec<Vec<String>> {
    let fewest = usize::from(command.arity.unsigned_abs());
    let name: Vec<_> = command.name.split('|').map(str::to_owned).collect();
    let counts = if command.flags.contains(Flags::MOVABLE_KEYS) { 0..4 } else { 0..0 };
    let mut calls = Vec::new();
    for argc in fewest.saturating_sub(1).max(name.len())..=fewest + 5 {
        let mut call = name.clone();
        call.extend((name.len()..argc).map(|place| format!("arg{place}")));
        for place in name.len()..argc.min(4) {
            calls.extend(counts.clone().map(|count| {
                let mut counted = call.clone();
                counted[place] = count.to_string();
                counted
            }));
        }
        calls.push(call);
    }
    calls
}

fn is_exempt(call: &[String]) -> bool {
    EXEMPT.iter().any(|(exempt, ..)| words(exempt) == call)
}

fn words(call: &str) -> Vec<String> {
    call.split(' ').map(|word| if word == "''" { String::new() } else { word.to_owned() }).collect()
}

/// Our command of a call; none for a container with an argument that is no subcommand.
fn command<'a>(table: &'a CommandTable, args: &[String]) -> Option<&'a Command> {
    table.lookup(Request::new(&encoded(args), args.len()))
}

/// Where we see the keys of a call.
fn keys(table: &CommandTable, args: &[String]) -> Vec<(usize, Access)> {
    let mut keys = Vec::new();
    if let Some(command) = command(table, args) {
        let found = command.keys(Request::new(&encoded(args), args.len()), &mut keys);
        found.expect("the keys of every Redis command are known");
    }
    keys.iter().map(|key| (key.arg, key.access)).collect()
}

/// A Redis server of its own, which ends with the value.
struct Server {
    process: Child,
    /// Kept open, for the server writes its log there.
    _log: BufReader<ChildStdout>,
    connection: TcpStream,
}

impl Server {
    /// The server, if it is a 7.0; else says why the test does nothing.
    fn start_7_0() -> Option<Self> {
        let mut server = Self::start();
        let info = text(&server.call(&["INFO", "server"]));
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
        if !version.starts_with("7.0.") {
            eprintln!("skipped: the built-in table is of Redis 7.0, redis-server is {version}");
            return None;
        }
        Some(server)
    }

    fn start() -> Self {
        // Between our letting a port go and the server's taking it, another process may take it.
        (0..20).find_map(|_| Self::start_on(free_port())).expect("redis-server starts on a free port")
    }

    fn start_on(port: u16) -> Option<Self> {
        let mut process = Process::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs redis-server in the PATH");
        let mut log = BufReader::new(process.stdout.take().expect("a pipe, as asked for"));
        let is_ready = log.by_ref().lines().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
        if !is_ready {
            process.wait().expect("a child that has ended");
            return None;
        }
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a server that is ready");
        Some(Self { process, _log: log, connection })
    }

    fn call<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Frame {
        self.connection.write_all(&encoded(args)).expect("a connection");
        let mut bytes = Vec::new();
        let mut scanner = ReplyScanner::default();
        let mut chunk = [0; 64 << 10];
        loop {
            let len = self.connection.read(&mut chunk).expect("a connection");
            assert!(len > 0, "the server closed the connection");
            bytes.extend_from_slice(&chunk[..len]);
            if let ReplyScan::Complete { .. } = scanner.scan(&chunk[..len], &Limits::default()).expect("a reply") {
                return decode_reply(&bytes).expect("a reply");
            }
        }
    }

    /// The keys that the server sees in a call, with their access; none if it refuses the call.
    fn keys(&mut self, args: &[String]) -> Vec<(String, Access)> {
        match self.ask("GETKEYSANDFLAGS", args) {
            Ok(keys) => keys.iter().map(key_and_access).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn ask(&mut self, question: &str, args: &[String]) -> Result<Vec<Frame>, String> {
        let call: Vec<_> = ["COMMAND", question].into_iter().chain(args.iter().map(String::as_str)).collect();
        match self.call(&call) {
            Frame::Array { data, .. } => Ok(data),
            Frame::SimpleError { data, .. } => Err(data),
            other => panic!("{call:?} answered {other:?}"),
        }
    }

    /// Appends to `differences` whatever we see in the call and the server does not, or the other way round.
    fn compare(&mut self, table: &CommandTable, args: &[String], differences: &mut String) {
        let refusal = self.ask("GETKEYS", args).err().unwrap_or_default();
        let arity_ok = !refusal.contains("number of arguments");
        // GETKEYS refuses a name alone before it looks at it, and does not count the arguments of a command without keys.
        let is_counted = args.len() > 1 && !refusal.contains("no key arguments");
        if is_counted && command(table, args).is_some_and(|command| command.arity_ok(args.len()) != arity_ok) {
            writeln!(differences, "{args:?}: arity, server {refusal:?}").expect("a string");
        }
        if !arity_ok {
            return;
        }
        let raised = WRITES.iter().any(|(name, _)| *name == args[0]);
        let access = |access| if raised { Access::Write } else { access };
        let ours: Vec<_> = keys(table, args).iter().map(|&(arg, access)| (args[arg].clone(), access)).collect();
        let theirs: Vec<_> = self.keys(args).into_iter().map(|(key, seen)| (key, access(seen))).collect();
        if ours != theirs {
            writeln!(differences, "{args:?}: keys {ours:?}, server {theirs:?}").expect("a string");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("our own child");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener").port()
}

fn encoded<T: AsRef<[u8]>>(args: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(args, &mut bytes);
    bytes
}

fn text(frame: &Frame) -> String {
    let Frame::BlobString { data, .. } = frame else { panic!("{frame:?} is no bulk string") };
    String::from_utf8(data.clone()).expect("UTF-8, as sent")
}

fn key_and_access(frame: &Frame) -> (String, Access) {
    let Frame::Array { data, .. } = frame else { panic!("{frame:?} is no array") };
    let [key, Frame::Array { data: flags, .. }] = &data[..] else { panic!("{data:?} is no key with flags") };
    let is_read = flags.iter().any(|flag| matches!(flag, Frame::SimpleString { data, .. } if data == b"RO"));
    (text(key), if is_read { Access::Read } else { Access::Write })
}

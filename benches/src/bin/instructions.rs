//! Instructions per operation of the hot path, as valgrind's callgrind counts them: the same on every run and machine,
//! whatever else it is doing.
//!
//! Without arguments, runs itself under valgrind for each row of the table, for two counts of operations, so that the
//! start of the process drops out. With `OPERATION COUNT`, does that operation so often.

use std::hint::black_box;
use std::io::IoSlice;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use interlay_resp::{Limits, ReplyScanner, Request, RequestScanner, encode_request};
use interlay_routing::command::CommandTable;
use interlay_routing::{Abilities, Catalog, Clients, Conduct, LanePair, PairLimits, Policy, Session, Side, Submission, Ticket};

/// An operation, and how it is done a number of times.
type Row = (&'static str, fn(usize));

const ROWS: &[Row] = &[
    ("find the end of a SET", |count| scan_request(&["SET", "key:000000000123", "xxx"], count)),
    ("find the end of a reply of +OK", |count| scan_reply(b"+OK\r\n", count)),
    ("find the end of a reply of 64 bytes", |count| scan_reply(&[b"$64\r\n", &[b'x'; 64][..], b"\r\n"].concat(), count)),
    ("look up a SET and its effect", |count| conduct(&["SET", "key:000000000123", "xxx"], count)),
    ("find the key of a GET", |count| keys(&["GET", "key:000000000123"], count)),
    ("find the keys of an MSET of 10", |count| keys(&mset(), count)),
    ("lane pair: a GET", |count| pair(&["GET", "key:000000000123"], b"$3\r\nxxx\r\n", count)),
    ("lane pair: a SET, mirrored and compared", |count| pair(&["SET", "key:000000000123", "xxx"], b"+OK\r\n", count)),
];

const FEW: usize = 1_000;
const MANY: usize = 11_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.as_slice() {
        [] => count_all(),
        [name, count] => run(name, count),
        _ => Err("usage: instructions [OPERATION COUNT]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, count: &str) -> Result<(), String> {
    let (_, operation) = ROWS.iter().find(|(row, _)| *row == name).ok_or("no such operation")?;
    operation(count.parse().map_err(|_| "COUNT is not a number")?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn count_all() -> Result<(), String> {
    println!("| operation | instructions |\n|---|---:|");
    for (name, _) in ROWS {
        let each = (count_instructions(name, MANY)? - count_instructions(name, FEW)?) / (MANY - FEW) as u64;
        println!("| {name} | {each} |");
    }
    Ok(())
}

/// Instructions of a whole run of this program.
fn count_instructions(name: &str, count: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &count.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.filter(|_| output.status.success()).ok_or_else(|| format!("valgrind: {told}"))
}

fn encoded(args: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(args, &mut bytes);
    bytes
}

fn mset() -> Vec<&'static str> {
    ["MSET"].into_iter().chain(["key:000000000123", "xxx"].repeat(10)).collect()
}

fn scan_request(args: &[&str], count: usize) {
    let (bytes, limits) = (encoded(args), Limits::default());
    let mut scanner = RequestScanner::default();
    for _ in 0..count {
        assert!(scanner.scan(black_box(&bytes), &limits, true).is_ok());
    }
}

fn scan_reply(reply: &[u8], count: usize) {
    let limits = Limits::default();
    let mut scanner = ReplyScanner::default();
    for _ in 0..count {
        assert!(scanner.scan(black_box(reply), &limits).is_ok());
    }
}

fn conduct(args: &[&str], count: usize) {
    let (bytes, catalog) = (encoded(args), Catalog::new(CommandTable::builtin()));
    for _ in 0..count {
        black_box(catalog.conduct(Request::new(black_box(&bytes), args.len())));
    }
}

fn keys(args: &[&str], count: usize) {
    let (bytes, table) = (encoded(args), CommandTable::builtin());
    let request = Request::new(&bytes, args.len());
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.clear();
        let command = table.lookup(black_box(request)).expect("a command of the built-in table");
        assert!(command.keys(request, &mut keys).is_ok());
        black_box(&keys);
    }
}

/// A client that only counts.
struct Counts(usize);

impl Clients for Counts {
    fn reply(&mut self, _: Ticket, _: &[u8], whole: bool) {
        self.0 += usize::from(whole);
    }

    fn abandon(&mut self, _: Ticket) {}

    fn wrote_since(&self, _: Ticket) -> bool {
        false
    }
}

/// Takes a request through both lanes, a hundred at a time, as a pipeline of a hundred would.
fn pair(args: &[&str], reply: &[u8], count: usize) {
    const BATCH: usize = 100;
    let (bytes, catalog) = (encoded(args), Arc::new(Catalog::new(CommandTable::builtin())));
    let Conduct::Lane(work) = catalog.conduct(Request::new(&bytes, args.len())).1 else { return };
    let mut pair = LanePair::new(catalog, Policy::SourceAuthoritative, true, PairLimits::default());
    let replies = reply.repeat(BATCH);
    let mut clients = Counts(0);
    for side in Side::BOTH {
        pair.connected(side, Abilities { databases: 16, resp3: true, since_7_0: true });
    }
    // The first batch also has the lanes' own SELECT and HELLO, which are answered apart.
    for round in 0..count / BATCH + 1 {
        for seq in 0..BATCH as u32 {
            let ticket = Ticket { client: 0, epoch: 0, seq };
            let request = Request::new(black_box(&bytes), args.len());
            let submission =
                Submission { ticket, session: Session::default(), request, shared: None, work, may_split: false, changes_session: false };
            pair.submit(submission, &mut clients);
        }
        for side in Side::BOTH {
            write_all(&mut pair, side);
            if pair.unanswered(side).0 > BATCH {
                pair.receive(side, b"+OK\r\n+OK\r\n", &mut clients).expect("the lane's own set-up");
            }
            if pair.unanswered(side).0 == BATCH {
                pair.receive(side, black_box(&replies), &mut clients).expect("replies to what was asked");
            }
        }
        assert_eq!(clients.0, (round + 1) * BATCH, "every request is answered");
    }
}

fn write_all(pair: &mut LanePair, side: Side) {
    while pair.has_unwritten(side) {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = pair.unwritten(side, &mut slices);
        let written = slices.iter().take(filled).map(|slice| slice.len()).sum();
        pair.wrote(side, written);
    }
}

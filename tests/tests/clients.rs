//! Real clients work through an interlay as they work with a server.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use interlay_tests::{Interlay, Load, Pair, Rng, Server, assert_equal, binary, mix, output};
use redis::{Commands, ConnectionLike, RedisResult};

/// Runs a client to its end: its output, which is shown if it fails.
fn run(program: &str, args: &[&str]) -> String {
    let output = output(Command::new(program).args(args));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    said
}

/// redis-benchmark with its default set of tests, each with 2000 requests of 50 clients.
fn benchmark(interlay: &Interlay, more: &[&str]) {
    let port = interlay.port().to_string();
    let said = run("redis-benchmark", &[&["-p", &port, "-n", "2000", "-q"], more].concat());
    assert!(!said.to_ascii_lowercase().contains("err") && !said.contains("WARNING"), "{said}");
    for test in ["PING_INLINE", "SET", "GET", "INCR", "LPUSH", "SPOP", "ZPOPMIN", "LRANGE_600", "MSET"] {
        assert!(said.contains(test), "{test} in {said}");
    }
}

#[test]
fn redis_benchmark_runs_its_default_set_and_leaves_both_servers_equal() {
    let pair = Pair::start("source-authoritative");
    benchmark(&pair.interlay, &[]);
    benchmark(&pair.interlay, &["-P", "16", "-r", "1000"]);
    pair.settled();
    // SPOP is left to chance: the set that it pops from is known to differ, and nothing else does.
    assert_eq!((pair.interlay.number("dirty_keys"), pair.interlay.number("mismatches")), (1, 0));
    for server in [&pair.source, &pair.target] {
        server.call(["DEL", "myset"]);
    }
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn without_a_target_nothing_is_mirrored_and_nothing_is_dirty() {
    let rng = Rng::printed();
    let source = Server::start();
    let interlay = Interlay::passthrough(&source).start();
    benchmark(&interlay, &[]);
    let load = Load::start(interlay.port(), 20, &rng, mix::write_or_flush);
    load.go_on_for(20_000);
    load.stop_without_errors();
    let status = interlay.status();
    assert_eq!((&status["phase"], &status["target"]), (&"passthrough".into(), &serde_json::Value::Null));
    assert_eq!((interlay.number("dirty_keys"), interlay.number("counters.effects")), (0, 0));
}

#[test]
fn redis_cli_gets_what_the_server_says() {
    let pair = Pair::start("source-authoritative");
    let port = pair.interlay.port().to_string();
    let cli = |args: &[&str]| run("redis-cli", &[&["-p", &port], args].concat()).trim_end().to_owned();
    assert_eq!(cli(&["SET", "k", "a b"]), "OK");
    assert_eq!(cli(&["GET", "k"]), "a b");
    assert_eq!(cli(&["-n", "3", "RPUSH", "list", "a", "b"]), "2");
    assert_eq!(cli(&["-3", "-n", "3", "LRANGE", "list", "0", "-1"]), "a\nb");
    assert_eq!(cli(&["-3", "HSET", "hash", "f", "v"]), "1");
    assert_eq!(cli(&["-3", "HGETALL", "hash"]), "f v");
    assert_eq!(cli(&["NOSUCH"]), "ERR unknown command 'NOSUCH', with args beginning with:");
    let mut keys: Vec<_> = cli(&["--scan"]).lines().map(str::to_owned).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["hash", "k"]);
    pair.assert_in_step();
}

#[test]
fn redis_cli_inserts_in_bulk() {
    let pair = Pair::start("source-authoritative");
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &pair.interlay.port().to_string(), "--pipe"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cli = cli.spawn().expect("redis-cli");
    let mut input = cli.stdin.take().unwrap();
    let lines: String = (0..20_000).map(|n| format!("SET key:{n} value:{n}\r\n")).collect();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = cli.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("errors: 0, replies: 20000"), "{said}");
    pair.assert_in_step();
    assert_eq!(pair.target.call(["DBSIZE"]), b":20000\r\n");
}

/// What the `redis` crate does for a program, in one protocol and database.
fn use_redis_crate(pair: &Pair, suffix: &str) -> RedisResult<()> {
    let client = redis::Client::open(format!("{}/{suffix}", pair.interlay.url()))?;
    let mut connection = client.get_connection()?;
    assert!(connection.check_connection());
    redis::cmd("CLIENT").arg("SETNAME").arg("a-test").exec(&mut connection)?;
    assert_eq!(redis::cmd("CLIENT").arg("GETNAME").query::<String>(&mut connection)?, "a-test");

    let binary = (0..=255_u8).collect::<Vec<_>>();
    let (): () = connection.set("string", &binary)?;
    assert_eq!(connection.get::<_, Vec<u8>>("string")?, binary);
    let pushed: (i64, Vec<String>, i64, f64) = redis::pipe()
        .rpush("list", &["a", "b", "c"])
        .lrange("list", 0, -1)
        .hset("hash", "f", "v")
        .zadd("zset", "m", 1.5)
        .ignore()
        .zscore("zset", "m")
        .query(&mut connection)?;
    assert_eq!(pushed, (3, ["a", "b", "c"].map(str::to_owned).to_vec(), 1, 1.5));
    assert_eq!(connection.sadd::<_, _, i64>("set", &["x", "y"])?, 2);
    assert_eq!(connection.smembers::<_, std::collections::BTreeSet<String>>("set")?.len(), 2);
    assert_eq!(connection.hgetall::<_, Vec<(String, String)>>("hash")?, [("f".to_owned(), "v".to_owned())]);
    assert_eq!(connection.get::<_, Option<String>>("missing")?, None);
    assert_eq!(connection.get::<_, String>("list").expect_err("a list is no string").code(), Some("WRONGTYPE"));
    Ok(())
}

#[test]
fn redis_crate_speaks_both_protocols_in_any_database() {
    let mut pair = Pair::start("source-authoritative");
    for suffix in ["0", "5?protocol=resp3"] {
        use_redis_crate(&pair, suffix).unwrap();
    }
    pair.assert_in_step();
    assert_eq!(pair.target.call(["INFO", "keyspace"]).windows(4).filter(|at| at == b"keys").count(), 2);

    let mut connection = pair.interlay.client();
    pair.interlay.restart();
    connection.get::<_, Option<String>>("string2").expect_err("the old connection is gone");
    let mut connection = pair.interlay.client();
    assert!(connection.exists::<_, bool>("string").unwrap());
}

/// The Python of a virtual environment with redis-py. None, said on standard error, where it cannot be had.
fn python() -> Option<PathBuf> {
    let folder = binary().parent().map(|build| build.join("redis-py"))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/redis_py.sh");
    let made = output(Command::new("sh").arg(script).arg(&folder));
    if made.status.success() {
        return Some(folder.join("bin/python"));
    }
    // Not with eprintln!, which only a failing test shows.
    writeln!(std::io::stderr(), "SKIPPED redis-py: {}", String::from_utf8_lossy(&made.stderr).trim_end()).ok();
    None
}

#[test]
fn redis_py_works_and_reconnects() {
    let Some(python) = python() else { return };
    let mut pair = Pair::start("source-authoritative");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/redis_py.py");
    let mut client = Command::new(python);
    client.arg(script).arg(pair.interlay.port().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().expect("python");
    let mut input = client.stdin.take().unwrap();
    // It says when it wants a restart, and goes on when it is told that it has had one.
    for line in BufReader::new(client.stdout.take().unwrap()).lines().map_while(Result::ok) {
        assert_eq!(line, "restart");
        pair.interlay.restart();
        writeln!(input, "restarted").unwrap();
    }
    let status = client.wait().unwrap();
    assert!(status.success(), "redis_py.py has failed: {status}");
    pair.assert_in_step();
}

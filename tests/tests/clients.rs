//! Real clients work through an interlay as they work with a server.

use std::io::Write;
use std::process::{Command, Stdio};

use interlay_tests::{Interlay, Load, Pair, Rng, Server, mix, output};
use redis::{Commands, ConnectionLike, RedisResult};

/// What the clients that go through a list of steps are made of.
mod clients {
    pub(crate) mod fred_crate;
    pub(crate) mod redis_cli;
    pub(crate) mod redis_crate;
    pub(crate) mod scene;
    pub(crate) mod scripts;
    pub(crate) mod steps;

    /// The name of their connections, and of their functions.
    const NAME: &str = "matrix";
    /// Scripts write where everything is flushed in the end: which keys they change cannot always be known.
    const SCRIPTS_DB: u8 = 9;
    /// Round trips after which a request of another connection, sent before, has arrived as well. Were it not so, the
    /// step would still be right: it would only show less.
    const ROUND_TRIPS: usize = 50;
    /// A library with one function, which sets a key.
    const FUNCTIONS: &str =
        "#!lua name=matrix\nredis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

    /// A value of 1 MB with every byte in it.
    fn megabyte() -> Vec<u8> {
        (0..=255).cycle().take(1 << 20).collect()
    }
}

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
    pair.assert_in_step();
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

/// The clients of [`steps::STEPS`]: each through all of them, connected to a server itself if asked for, and to an
/// interlay with and without a target.
macro_rules! clients {
    ($($name:ident: $run:path,)*) => {$(
        mod $name {
            use super::clients::scene::Scene;

            #[test]
            fn works_direct() {
                Scene::direct().map_or_else(|| (), $run);
            }

            #[test]
            fn works_in_passthrough() {
                $run(Scene::passthrough());
            }

            #[test]
            fn works_while_mirroring() {
                $run(Scene::mirroring());
            }
        }
    )*};
}

clients! {
    redis_py: super::clients::scripts::redis_py,
    redis_py_asyncio: super::clients::scripts::redis_py_asyncio,
    ioredis: super::clients::scripts::ioredis,
    node_redis: super::clients::scripts::node_redis,
    redis_crate: super::clients::redis_crate::run,
    fred_crate: super::clients::fred_crate::run,
    redis_cli: super::clients::redis_cli::run,
}

//! `redis-cli`, with arguments, with a pipe, and with one session that goes on.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use interlay_tests::PATIENCE;

use super::scene::{PASSWORD, Scene};
use super::steps::{PROTOCOLS, Progress, STEPS};
use super::{FUNCTIONS, NAME, ROUND_TRIPS, SCRIPTS_DB, megabyte};

/// Goes through all steps.
pub(crate) fn run(mut scene: Scene) {
    let mut progress = Progress::default();
    for protocol in PROTOCOLS {
        let cli = Cli { port: scene.port(), password_port: scene.password_port(), protocol, db: protocol };
        for step in STEPS {
            match step {
                "handshake" => cli.handshake(),
                "password" => cli.password(),
                "pipeline" => cli.pipeline(),
                "transaction" => cli.transaction(),
                "watch" => cli.watch(),
                "multi" => cli.multi(),
                "pubsub" => cli.pubsub(),
                "resubscribe" => cli.resubscribe(),
                "blocking" => cli.blocking(),
                "scripts" => cli.scripts(),
                "scan" => cli.scan(),
                "binary" => cli.binary(),
                "kill" => cli.kill(),
                "restart" => cli.restart(&mut scene),
                _ => panic!("no such step: {step}"),
            }
            progress.done(protocol, step);
        }
    }
    progress.assert_complete();
    scene.assert_in_step();
}

/// What `redis-cli` is started with.
struct Cli {
    port: u16,
    password_port: u16,
    protocol: u8,
    db: u8,
}

impl Cli {
    fn command(&self, port: u16, args: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port.to_string(), &format!("-{}", self.protocol), "-n", &self.db.to_string()]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it says when it gets this from a pipe.
    fn fed(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        feed(self.command(self.port, args), input)
    }

    /// What it says, as text without the line's end.
    fn says(&self, args: &[&str]) -> String {
        text(&self.fed(args, b""))
    }

    fn handshake(&self) {
        assert_eq!(self.says(&["PING"]), "PONG");
        let session = self.fed(&[], b"CLIENT SETNAME matrix\nCLIENT GETNAME\nSET here v\nSELECT 1\nEXISTS here\nCLIENT INFO\n");
        let session = text(&session);
        let (replies, info) = session.rsplit_once('\n').expect("many lines");
        assert_eq!(replies, "OK\nmatrix\nOK\nOK\n0");
        for field in [" db=1 ", " name=matrix ", &format!(" resp={}", self.protocol)] {
            assert!(info.contains(field), "no{field}in {info}");
        }
        assert_eq!(self.says(&["EXISTS", "here"]), "1");
        assert_eq!(self.says(&["NOSUCH"]), "ERR unknown command 'NOSUCH', with args beginning with:");
        assert_eq!(self.says(&["HSET", "hash", "f", "v"]), "1");
        assert_eq!(self.says(&["HGETALL", "hash"]), if self.protocol == 2 { "f\nv" } else { "f v" });
    }

    fn password(&self) {
        let says = |args: &[&str]| {
            let output = self.command(self.password_port, args).output().expect("redis-cli");
            text(&[output.stdout, output.stderr].concat())
        };
        assert_eq!(says(&["-a", PASSWORD, "--no-auth-warning", "PING"]), "PONG");
        assert_eq!(says(&["--user", "default", "--pass", PASSWORD, "--no-auth-warning", "PING"]), "PONG");
        for user in ["default", "nobody"] {
            let said = says(&["--user", user, "--pass", "wrong", "--no-auth-warning", "PING"]);
            assert!(said.contains("WRONGPASS"), "{said}");
        }
        let said = says(&["PING"]);
        assert!(said.contains("NOAUTH"), "{said}");
    }

    fn pipeline(&self) {
        // Inline requests, and after them encoded ones.
        let mut input: String = (0..1000).map(|n| format!("SELECT {}\r\nSET pipelined:{n} {n}\r\n", self.db)).collect();
        input.extend((0..1000).map(|_| "*3\r\n$5\r\nRPUSH\r\n$9\r\npipelined\r\n$1\r\nx\r\n"));
        let said = text(&self.fed(&["--pipe"], input.as_bytes()));
        assert!(said.contains("errors: 0, replies: 3000"), "{said}");
        assert_eq!((self.says(&["GET", "pipelined:999"]), self.says(&["LLEN", "pipelined"])), ("999".to_owned(), "1000".to_owned()));
        let said = text(&self.fed(&["--pipe"], format!("SELECT {}\r\nINCR pipelined\r\nINCR after\r\n", self.db).as_bytes()));
        assert!(said.contains("WRONGTYPE") && said.contains("errors: 1, replies: 3"), "{said}");
        assert_eq!(self.says(&["GET", "after"]), "1");
    }

    fn transaction(&self) {
        let batch = format!("SELECT {}\r\nMULTI\r\nINCR t\r\nINCR t\r\nEXEC\r\n", self.db);
        let said = text(&self.fed(&["--pipe"], batch.as_bytes()));
        assert!(said.contains("errors: 0, replies: 5"), "{said}");
        assert_eq!(self.says(&["GET", "t"]), "2");
        let batch = format!("SELECT {}\r\nMULTI\r\nINCR t\r\nGET\r\nEXEC\r\n", self.db);
        let said = text(&self.fed(&["--pipe"], batch.as_bytes()));
        assert!(said.contains("EXECABORT") && said.contains("errors: 2, replies: 5"), "{said}");
        assert_eq!(self.says(&["GET", "t"]), "2");
    }

    fn watch(&self) {
        let mut session = self.session(&[]);
        session.expect("SET w 1", &["OK"]);
        session.expect("WATCH w", &["OK"]);
        session.expect("MULTI", &["OK"]);
        session.expect("INCR w", &["QUEUED"]);
        session.expect("EXEC", &["2"]);
        session.expect("WATCH w", &["OK"]);
        assert_eq!(self.says(&["SET", "w", "10"]), "OK");
        session.expect("MULTI", &["OK"]);
        session.expect("SET w lost", &["QUEUED"]);
        session.expect("EXEC", &[""]);
        session.expect("GET w", &["10"]);
        session.expect("WATCH w", &["OK"]);
        session.expect("UNWATCH", &["OK"]);
        assert_eq!(self.says(&["SET", "w", "11"]), "OK");
        session.expect("MULTI", &["OK"]);
        session.expect("INCR w", &["QUEUED"]);
        session.expect("EXEC", &["12"]);
    }

    fn multi(&self) {
        let mut session = self.session(&[]);
        session.expect("MULTI", &["OK"]);
        session.expect("INCR m", &["QUEUED"]);
        assert_eq!(self.says(&["EXISTS", "m"]), "0");
        session.expect("RPUSH m:list a", &["QUEUED"]);
        session.expect("EXEC", &["1", "1"]);
        session.expect("MULTI", &["OK"]);
        session.expect("INCR m", &["QUEUED"]);
        session.expect("DISCARD", &["OK"]);
        session.expect("GET m", &["1"]);
        session.expect("MULTI", &["OK"]);
        session.expect("INCR m", &["QUEUED"]);
        session.expect("GET", &["ERR wrong number of arguments for 'get' command", ""]);
        session.expect("EXEC", &["EXECABORT Transaction discarded because of previous errors.", ""]);
        session.expect("GET m", &["1"]);
        session.expect("EXEC", &["ERR EXEC without MULTI", ""]);
    }

    fn pubsub(&self) {
        let mut subscriber = self.session(&["SUBSCRIBE", "news", "sport"]);
        subscriber.lines(&["subscribe", "news", "1", "subscribe", "sport", "2"]);
        let mut by_pattern = self.session(&["PSUBSCRIBE", "new*"]);
        by_pattern.lines(&["psubscribe", "new*", "1"]);
        for n in ["1", "2", "3"] {
            assert_eq!(self.says(&["PUBLISH", "news", n]), "2");
            subscriber.lines(&["message", "news", n]);
            by_pattern.lines(&["pmessage", "new*", "news", n]);
        }
        assert_eq!(self.says(&["PUBLISH", "sport", "end"]), "1");
        subscriber.lines(&["message", "sport", "end"]);
    }

    fn resubscribe(&self) {
        // It ends when its connection is lost. Whoever starts it again subscribes again.
        let mut subscriber = self.session(&["SUBSCRIBE", "back"]);
        subscriber.lines(&["subscribe", "back", "1"]);
        assert_eq!(self.says(&["CLIENT", "KILL", "TYPE", "pubsub"]), "1");
        subscriber.assert_ends();
        let mut subscriber = self.session(&["SUBSCRIBE", "back"]);
        subscriber.lines(&["subscribe", "back", "1"]);
        assert_eq!(self.says(&["PUBLISH", "back", "again"]), "1");
        subscriber.lines(&["message", "back", "again"]);
    }

    fn blocking(&self) {
        let mut other = self.session(&[]);
        let mut served = |wait: &[&str], serve: &str, reply: &[&str]| {
            let mut waiting = self.session(wait);
            for _ in 0..ROUND_TRIPS {
                other.expect("PING", &["PONG"]);
            }
            other.tell(serve);
            waiting.lines(reply);
            other.line();
        };
        served(&["BLPOP", "b:none", "b:list", "10"], "RPUSH b:list a b", &["b:list", "a"]);
        served(&["BLMOVE", "b:from", "b:to", "LEFT", "RIGHT", "10"], "RPUSH b:from x", &["x"]);
        let read: &[&str] = if self.protocol == 2 { &["b:stream", "5-1", "f", "v"] } else { &["b:stream 5-1", "f", "v"] };
        served(&["XREAD", "BLOCK", "10000", "STREAMS", "b:stream", "0-0"], "XADD b:stream 5-1 f v", read);
        served(&["BZPOPMIN", "b:zset", "10"], "ZADD b:zset 1.5 m 2 n", &["b:zset", "m", "1.5"]);
        assert_eq!(self.says(&["BLPOP", "b:none", "0.05"]), "");
        assert_eq!(self.says(&["LRANGE", "b:to", "0", "-1"]), "x");
    }

    fn scripts(&self) {
        let cli = Self { db: SCRIPTS_DB, ..*self };
        assert_eq!(cli.says(&["EVAL", "return {KEYS[1], ARGV[1], 3}", "1", "k", "a"]), "k\na\n3");
        assert_eq!(cli.says(&["EVALSHA", &"0".repeat(40), "0"]), "NOSCRIPT No matching script. Please use EVAL.");
        let sha = cli.says(&["SCRIPT", "LOAD", "return redis.call('INCRBY', KEYS[1], 10)"]);
        assert_eq!(cli.says(&["EVALSHA", &sha, "1", "s"]), "10");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "return redis.call('SET', KEYS[1], ARGV[1])").expect("a script");
        assert_eq!(cli.says(&["--eval", &file.path().display().to_string(), "e", ",", "v"]), "OK");
        assert_eq!(text(&cli.fed(&["-x", "FUNCTION", "LOAD", "REPLACE"], FUNCTIONS.as_bytes())), NAME);
        assert_eq!(cli.says(&["FCALL", "put", "1", "f", "v"]), "OK");
        assert_eq!(cli.says(&["MGET", "e", "f"]), "v\nv");
        assert_eq!(cli.says(&["FUNCTION", "DELETE", NAME]), "OK");
        assert_eq!(cli.says(&["FCALL", "put", "1", "f", "v"]), "ERR Function not found");
        assert_eq!(cli.says(&["FLUSHDB"]), "OK");
    }

    fn scan(&self) {
        let names: BTreeSet<_> = (0..500).map(|n| format!("scan:{n}")).collect();
        let lines: String = names.iter().map(|name| format!("SET {name} v\n")).collect();
        assert_eq!(text(&self.fed(&[], lines.as_bytes())), ["OK"; 500].join("\n"));
        let said = self.says(&["--scan", "--pattern", "scan:*"]);
        assert_eq!(said.lines().map(str::to_owned).collect::<BTreeSet<_>>(), names);
    }

    fn binary(&self) {
        let value = megabyte();
        assert_eq!(text(&self.fed(&["-x", "SET", "binary"], &value)), "OK");
        assert_eq!(self.says(&["STRLEN", "binary"]), value.len().to_string());
        let got = self.fed(&["GET", "binary"], b"");
        assert!(got.strip_suffix(b"\n") == Some(&*value), "another value, of {} bytes", got.len());
    }

    fn kill(&self) {
        let mut session = self.session(&[]);
        session.expect("SET kept v", &["OK"]);
        session.tell("CLIENT ID");
        let number = session.line().expect("a number");
        assert_eq!(self.says(&["CLIENT", "KILL", "ID", &number]), "1");
        self.expect_reconnect(&mut session);
        session.expect("GET kept", &["v"]);
        session.tell("CLIENT ID");
        assert_ne!(session.line().as_ref(), Some(&number));
    }

    fn restart(&self, scene: &mut Scene) {
        let mut session = self.session(&[]);
        session.expect("SET before v", &["OK"]);
        scene.restart();
        self.expect_reconnect(&mut session);
        session.expect("GET before", &["v"]);
    }

    /// The request that notices the loss fails, on standard error. The next one gets a new connection, to database 0.
    fn expect_reconnect(&self, session: &mut Session) {
        session.tell("ECHO lost");
        session.expect(&format!("SELECT {}", self.db), &["OK"]);
    }

    fn session(&self, args: &[&str]) -> Session {
        let mut child = self.command(self.port, args).stderr(Stdio::null()).spawn().expect("redis-cli");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (lines_tx, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| lines_tx.send(line)));
        Session { input: child.stdin.take().expect("a pipe"), child, lines }
    }
}

/// A `redis-cli` that goes on: its lines are requests, or it waits for messages.
struct Session {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Session {
    fn tell(&mut self, request: &str) {
        writeln!(self.input, "{request}").expect("redis-cli reads");
    }

    /// The next line; none after the last.
    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("redis-cli has said nothing for {PATIENCE:?}"),
        }
    }

    /// Takes lines that have to be these.
    fn lines(&mut self, wanted: &[&str]) {
        let lines: Vec<_> = wanted.iter().map_while(|_| self.line()).collect();
        assert_eq!(lines, wanted);
    }

    fn expect(&mut self, request: &str, reply: &[&str]) {
        self.tell(request);
        let lines: Vec<_> = reply.iter().map_while(|_| self.line()).collect();
        assert_eq!(lines, reply, "{request}");
    }

    fn assert_ends(&mut self) {
        let rest: Vec<_> = std::iter::from_fn(|| self.line()).collect();
        assert!(rest.iter().all(|line| !line.contains("message")), "{rest:?}");
        self.child.wait().expect("an ended process");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a program that gets `input` from a pipe: its output.
fn feed(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.spawn().expect("redis-cli");
    let mut pipe = child.stdin.take().expect("a pipe");
    thread::scope(|threads| {
        // It may end without reading all of it: then its output says why.
        threads.spawn(move || pipe.write_all(input).ok());
        let output = child.wait_with_output().expect("its output");
        [output.stdout, output.stderr].concat()
    })
}

/// Output as text, without what ends it.
fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim_end().to_owned()
}

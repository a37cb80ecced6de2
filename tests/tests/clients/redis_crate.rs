//! The `redis` crate: its connections that wait, and its connection manager, which connects again by itself.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::mpsc;
use std::thread;

use interlay_tests::{PATIENCE, eventually};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Commands, Connection, ErrorKind, FromRedisValue, PushInfo, PushKind, RedisError, RedisResult, Script, Value, cmd, pipe,
};

use super::scene::{PASSWORD, Scene};
use super::steps::{PROTOCOLS, Progress, STEPS};
use super::{FUNCTIONS, NAME, ROUND_TRIPS, SCRIPTS_DB, megabyte};

/// Goes through all steps.
pub(crate) fn run(mut scene: Scene) {
    let mut progress = Progress::default();
    for protocol in PROTOCOLS {
        let at = At { port: scene.port(), password_port: scene.password_port(), protocol };
        for step in STEPS {
            let done = match step {
                "handshake" => at.handshake(),
                "password" => at.password(),
                "pipeline" => at.pipeline(),
                "transaction" => at.transaction(),
                "watch" => at.watch(),
                "multi" => at.multi(),
                "pubsub" => at.pubsub(),
                "resubscribe" => at.resubscribe(),
                "blocking" => at.blocking(),
                "scripts" => at.scripts(),
                "scan" => at.scan(),
                "binary" => at.binary(),
                "kill" => at.kill(),
                "restart" => at.restart(&mut scene),
                _ => panic!("no such step: {step}"),
            };
            done.unwrap_or_else(|error| panic!("{step} in RESP{protocol}: {error}"));
            progress.done(protocol, step);
        }
    }
    progress.assert_complete();
    scene.assert_in_step();
}

/// Where clients connect to, and how.
struct At {
    port: u16,
    password_port: u16,
    protocol: u8,
}

impl At {
    fn client(&self, db: u8) -> RedisResult<Client> {
        Client::open(format!("redis://127.0.0.1:{}/{db}?protocol=resp{}", self.port, self.protocol))
    }

    /// A connection in a database of the protocol's own.
    fn connect(&self) -> RedisResult<Connection> {
        self.connect_to(self.protocol)
    }

    fn connect_to(&self, db: u8) -> RedisResult<Connection> {
        let connection = self.client(db)?.get_connection()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    fn handshake(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        assert_eq!(cmd("PING").query::<String>(&mut client)?, "PONG");
        for name in [NAME, "renamed"] {
            cmd("CLIENT").arg("SETNAME").arg(name).exec(&mut client)?;
            assert_eq!(cmd("CLIENT").arg("GETNAME").query::<String>(&mut client)?, name);
        }
        let info: String = cmd("CLIENT").arg("INFO").query(&mut client)?;
        for field in [format!(" db={} ", self.protocol), format!(" resp={}", self.protocol), " name=renamed ".to_owned()] {
            assert!(info.contains(&field), "no{field}in {info}");
        }
        let (): () = client.hset_multiple("hash", &[("f", 1), ("g", 2)])?;
        let hash: Value = client.hgetall("hash")?;
        assert_eq!(matches!(hash, Value::Map(_)), self.protocol == 3, "{hash:?}");
        let (): () = client.set("here", "v")?;
        for (db, there) in [(1, false), (self.protocol, true)] {
            cmd("SELECT").arg(db).exec(&mut client)?;
            assert_eq!(client.exists::<_, bool>("here")?, there);
        }
        Ok(())
    }

    fn password(&self) -> RedisResult<()> {
        let connect = |user: &str| {
            let url = format!("redis://{user}127.0.0.1:{}/?protocol=resp{}", self.password_port, self.protocol);
            Client::open(url)?.get_connection()?.exists::<_, bool>("k")
        };
        for user in [format!(":{PASSWORD}@"), format!("default:{PASSWORD}@")] {
            assert!(!connect(&user)?);
        }
        for user in [":wrong@", &format!("nobody:{PASSWORD}@")] {
            let error = connect(user).expect_err("a wrong password");
            // The library hides the server's words, if it is AUTH that fails and not HELLO.
            assert!(error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS"), "{error}");
        }
        let error = connect("").expect_err("no password").to_string();
        assert!(error.to_ascii_uppercase().contains("AUTH"), "{error}");
        Ok(())
    }

    fn pipeline(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        let mut pipeline = pipe();
        for n in 0..1000 {
            let key = format!("pipelined:{n}");
            pipeline.set(&key, n).ignore().get(key).rpush("pipelined", n);
        }
        let replies: Vec<(i64, i64)> = pipeline.query(&mut client)?;
        assert_eq!(replies, (0..1000).map(|n| (n, n + 1)).collect::<Vec<_>>());
        let mut pipeline = pipe();
        pipeline.incr("before", 1).incr("pipelined", 1).incr("after", 1).ignore_errors();
        let replies: Vec<RedisResult<i64>> = pipeline.query(&mut client)?;
        assert_eq!((&replies[0], &replies[2]), (&Ok(1), &Ok(1)));
        assert_refused(&replies[1], "WRONGTYPE");
        Ok(())
    }

    fn transaction(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        let replies: (i64, i64, Vec<String>) =
            pipe().atomic().incr("t", 1).rpush("t:list", &["a", "b"]).lrange("t:list", 0, -1).query(&mut client)?;
        assert_eq!(replies, (1, 2, vec!["a".to_owned(), "b".to_owned()]));
        let mut transaction = pipe();
        transaction.atomic().incr("t", 1).incr("t:list", 1).incr("t", 1).ignore_errors();
        let replies: Vec<RedisResult<i64>> = transaction.query(&mut client)?;
        assert_eq!((&replies[0], &replies[2]), (&Ok(2), &Ok(3)));
        assert_refused(&replies[1], "WRONGTYPE");
        let aborted: RedisResult<Value> = pipe().atomic().incr("t", 1).cmd("GET").query(&mut client);
        assert_refused(&aborted, "EXECABORT");
        assert_eq!(client.get::<_, i64>("t")?, 3);
        Ok(())
    }

    fn watch(&self) -> RedisResult<()> {
        let (mut client, mut other) = (self.connect()?, self.connect()?);
        let (): () = client.set("w", 1)?;
        // The helper that tries again until nobody interferes.
        let mut interfere = [true, false].into_iter();
        let sum: (i64,) = redis::transaction(&mut client, &["w"], |client, transaction| {
            let value: i64 = client.get("w")?;
            if interfere.next() == Some(true) {
                let (): () = other.incr("w", 1)?;
            }
            transaction.set("w", value + 100).ignore().get("w").query(client)
        })?;
        assert_eq!((sum, interfere.len()), ((102,), 0));

        let write = |client: &mut Connection| pipe().atomic().set("w", "lost").query::<Option<(String,)>>(client);
        cmd("WATCH").arg("w").exec(&mut client)?;
        let (): () = other.set("w", 10)?;
        assert_eq!(write(&mut client)?, None);
        assert_eq!(client.get::<_, i64>("w")?, 10);
        cmd("WATCH").arg("w").exec(&mut client)?;
        cmd("UNWATCH").exec(&mut client)?;
        let (): () = other.set("w", 11)?;
        assert_eq!(write(&mut client)?, Some(("OK".to_owned(),)));
        Ok(())
    }

    fn multi(&self) -> RedisResult<()> {
        fn raw<T: FromRedisValue>(client: &mut Connection, request: &str) -> RedisResult<T> {
            let mut words = request.split(' ');
            cmd(words.next().expect("a first word")).arg(words.collect::<Vec<_>>()).query(client)
        }
        let (mut client, mut other) = (self.connect()?, self.connect()?);
        let mut expect = |request: &str, reply: &str| {
            assert_eq!(raw::<String>(&mut client, request).unwrap_or_else(|error| format!("{request}: {error}")), reply);
        };
        expect("MULTI", "OK");
        expect("INCR m", "QUEUED");
        assert!(!other.exists::<_, bool>("m")?);
        expect("RPUSH m:list a", "QUEUED");
        assert_eq!(raw::<(i64, i64)>(&mut client, "EXEC")?, (1, 1));
        let mut expect = |request: &str, reply: &str| assert_eq!(raw::<String>(&mut client, request), Ok(reply.to_owned()), "{request}");
        expect("MULTI", "OK");
        expect("INCR m", "QUEUED");
        expect("DISCARD", "OK");
        expect("GET m", "1");
        expect("MULTI", "OK");
        expect("INCR m", "QUEUED");
        assert_refused(&raw::<Value>(&mut client, "GET"), "wrong number of arguments");
        assert_refused(&raw::<Value>(&mut client, "EXEC"), "EXECABORT");
        assert_eq!(raw::<i64>(&mut client, "GET m")?, 1);
        assert_refused(&raw::<Value>(&mut client, "EXEC"), "EXEC without MULTI");
        Ok(())
    }

    fn pubsub(&self) -> RedisResult<()> {
        let (mut client, mut subscriber) = (self.connect()?, self.connect()?);
        let mut messages = subscriber.as_pubsub();
        let next = |messages: &mut redis::PubSub<'_>| -> RedisResult<(Option<String>, String, String)> {
            let message = messages.get_message()?;
            Ok((message.get_pattern()?, message.get_channel()?, message.get_payload()?))
        };
        let by_pattern = Some("new*".to_owned());
        messages.subscribe("news")?;
        messages.psubscribe("new*")?;
        for n in 0..100 {
            assert_eq!(client.publish::<_, _, i64>("news", n)?, 2);
        }
        for n in 0..100 {
            for pattern in [None, by_pattern.clone()] {
                assert_eq!(next(&mut messages)?, (pattern, "news".to_owned(), n.to_string()));
            }
        }
        messages.unsubscribe("news")?;
        assert_eq!(client.publish::<_, _, i64>("news", "once")?, 1);
        assert_eq!(next(&mut messages)?, (by_pattern, "news".to_owned(), "once".to_owned()));
        messages.punsubscribe("new*")?;
        assert_eq!(client.publish::<_, _, i64>("news", "nobody")?, 0);
        drop(messages);
        // Without subscriptions it is an ordinary connection again.
        assert_eq!(cmd("ECHO").arg("ordinary").query::<String>(&mut subscriber)?, "ordinary");
        Ok(())
    }

    fn resubscribe(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        let mut kill = || {
            assert_eq!(cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query::<i64>(&mut client), Ok(1));
            // The connection that is lost counts until the new one is there.
            let mut client = self.connect().expect("another connection");
            eventually("somebody has subscribed again", || client.publish::<_, _, i64>("back", "again").expect("PUBLISH") == 1);
        };
        if self.protocol == 2 {
            // Here the library leaves it to the program.
            let mut subscriber = self.connect()?;
            let mut messages = subscriber.as_pubsub();
            messages.subscribe("back")?;
            thread::scope(|threads| {
                threads.spawn(kill);
                messages.get_message().expect_err("the connection was killed");
                let mut subscriber = self.connect()?;
                let mut messages = subscriber.as_pubsub();
                messages.subscribe("back")?;
                assert_eq!(messages.get_message()?.get_payload::<String>()?, "again");
                RedisResult::Ok(())
            })?;
            return Ok(());
        }
        let (messages_tx, messages) = mpsc::channel::<PushInfo>();
        let config = ConnectionManagerConfig::new().set_push_sender(messages_tx).set_automatic_resubscription();
        let next = |wanted: PushKind| loop {
            let push = messages.recv_timeout(PATIENCE).expect("a push");
            if push.kind == wanted {
                return push.data;
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        // Subscribed as long as it is there.
        let _manager = runtime.block_on(async {
            let mut manager = ConnectionManager::new_with_config(self.client(self.protocol)?, config).await?;
            manager.subscribe("back").await?;
            RedisResult::Ok(manager)
        })?;
        next(PushKind::Subscribe);
        kill();
        assert_eq!(next(PushKind::Message), [Value::BulkString(b"back".to_vec()), Value::BulkString(b"again".to_vec())]);
        Ok(())
    }

    fn blocking(&self) -> RedisResult<()> {
        let (mut waiter, mut client) = (self.connect()?, self.connect()?);
        let mut served = |wait: &[&str], serve: &[&str]| {
            thread::scope(|threads| {
                let waiting = threads.spawn(|| cmd(wait[0]).arg(&wait[1..]).query::<Value>(&mut waiter));
                for _ in 0..ROUND_TRIPS {
                    cmd("PING").exec(&mut client)?;
                }
                cmd(serve[0]).arg(&serve[1..]).exec(&mut client)?;
                waiting.join().expect("a thread that only waits")
            })
        };
        let popped = served(&["BLPOP", "b:none", "b:list", "10"], &["RPUSH", "b:list", "a", "b"])?;
        assert_eq!(redis::from_redis_value::<(String, String)>(popped)?, ("b:list".to_owned(), "a".to_owned()));
        let moved = served(&["BLMOVE", "b:from", "b:to", "LEFT", "RIGHT", "10"], &["RPUSH", "b:from", "x"])?;
        assert_eq!(redis::from_redis_value::<String>(moved)?, "x");
        let read = served(&["XREAD", "BLOCK", "10000", "STREAMS", "b:stream", "0-0"], &["XADD", "b:stream", "5-1", "f", "v"])?;
        let read: redis::streams::StreamReadReply = redis::from_redis_value(read)?;
        assert_eq!((&*read.keys[0].key, &*read.keys[0].ids[0].id), ("b:stream", "5-1"));
        let least = served(&["BZPOPMIN", "b:zset", "10"], &["ZADD", "b:zset", "1.5", "m", "2", "n"])?;
        assert_eq!(redis::from_redis_value::<(String, String, f64)>(least)?, ("b:zset".to_owned(), "m".to_owned(), 1.5));
        assert_eq!(client.lrange::<_, Vec<String>>("b:to", 0, -1)?, ["x"]);
        assert_eq!(client.zcard::<_, i64>("b:zset")?, 1);
        assert_eq!(client.blpop::<_, Option<(String, String)>>("b:none", 0.05)?, None);
        Ok(())
    }

    fn scripts(&self) -> RedisResult<()> {
        let mut client = self.connect_to(SCRIPTS_DB)?;
        let reply: (String, String, i64) = cmd("EVAL").arg("return {KEYS[1], ARGV[1], 3}").arg(1).arg("k").arg("a").query(&mut client)?;
        assert_eq!(reply, ("k".to_owned(), "a".to_owned(), 3));
        let twice = "redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')";
        assert_refused(&cmd("EVAL").arg(twice).arg(1).arg("text").query::<Value>(&mut client), "WRONGTYPE");
        let unknown = "0".repeat(40);
        assert_refused(&cmd("EVALSHA").arg(&unknown).arg(0).query::<Value>(&mut client), "NOSCRIPT");
        let sha: String = cmd("SCRIPT").arg("LOAD").arg("return redis.call('INCRBY', KEYS[1], 10)").query(&mut client)?;
        assert_eq!(cmd("EVALSHA").arg(&sha).arg(1).arg("s").query::<i64>(&mut client)?, 10);
        assert_eq!(cmd("SCRIPT").arg("EXISTS").arg(&sha).arg(&unknown).query::<Vec<bool>>(&mut client)?, [true, false]);
        // The helper that loads a script where it is not known yet.
        let script = Script::new(&format!("return redis.call('INCRBY', KEYS[1], {})", self.protocol));
        assert_eq!(script.key("s").invoke::<i64>(&mut client)?, 10 + i64::from(self.protocol));
        assert_eq!(cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(FUNCTIONS).query::<String>(&mut client)?, NAME);
        let mut put = cmd("FCALL");
        put.arg("put").arg(1).arg("f").arg("v");
        put.exec(&mut client)?;
        assert_eq!(client.get::<_, String>("f")?, "v");
        cmd("FUNCTION").arg("DELETE").arg(NAME).exec(&mut client)?;
        assert_refused(&put.query::<Value>(&mut client), "Function not found");
        cmd("FLUSHDB").exec(&mut client)
    }

    fn scan(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        let names: BTreeSet<String> = (0..500).map(|n| format!("scan:{n}")).collect();
        let pairs: Vec<_> = names.iter().map(|name| (name, "v")).collect();
        let (): () = client.mset(&pairs)?;
        let (): () = client.hset_multiple("sc:hash", &pairs)?;
        let (): () = client.sadd("sc:set", &names)?;
        let (): () = client.zadd_multiple("sc:zset", &names.iter().map(|name| (1.5, name)).collect::<Vec<_>>())?;
        let found: RedisResult<BTreeSet<String>> = client.scan_match("scan:*")?.collect();
        assert_eq!(found?, names);
        let found: RedisResult<BTreeSet<(String, String)>> = client.hscan("sc:hash")?.collect();
        assert_eq!(found?, names.iter().map(|name| (name.clone(), "v".to_owned())).collect());
        let found: RedisResult<BTreeSet<String>> = client.sscan_match("sc:set", "scan:1*")?.collect();
        assert_eq!(found?, names.iter().filter(|name| name.starts_with("scan:1")).cloned().collect());
        let found: RedisResult<BTreeSet<(String, String)>> = client.zscan("sc:zset")?.collect();
        assert_eq!(found?, names.iter().map(|name| (name.clone(), "1.5".to_owned())).collect());
        Ok(())
    }

    fn binary(&self) -> RedisResult<()> {
        let mut client = self.connect()?;
        let (key, value) = ((0..=255).collect::<Vec<u8>>(), megabyte());
        let (): () = client.set(&key, &value)?;
        assert_eq!(client.strlen::<_, usize>(&key)?, value.len());
        assert!(client.get::<_, Vec<u8>>(&key)? == value, "another value");
        assert_eq!(client.getrange::<_, Vec<u8>>(&key, -256, -1)?, key);
        Ok(())
    }

    fn kill(&self) -> RedisResult<()> {
        let mut other = self.connect()?;
        wait_for(async {
            let mut manager = ConnectionManager::new(self.client(self.protocol)?).await?;
            cmd("SET").arg("kept").arg("v").exec_async(&mut manager).await?;
            let number: i64 = cmd("CLIENT").arg("ID").query_async(&mut manager).await?;
            assert_eq!(cmd("CLIENT").arg("KILL").arg("ID").arg(number).query::<i64>(&mut other)?, 1);
            assert_eq!(reconnected(&mut manager, "kept").await?, "v");
            assert_ne!(cmd("CLIENT").arg("ID").query_async::<i64>(&mut manager).await?, number);
            Ok(())
        })
    }

    fn restart(&self, scene: &mut Scene) -> RedisResult<()> {
        wait_for(async {
            let mut manager = ConnectionManager::new(self.client(self.protocol)?).await?;
            cmd("SET").arg("before").arg("v").exec_async(&mut manager).await?;
            scene.restart();
            assert_eq!(reconnected(&mut manager, "before").await?, "v");
            Ok(())
        })
    }
}

/// GET through a manager whose connection is lost: the request that notices it fails, and then it is there again.
async fn reconnected(manager: &mut ConnectionManager, key: &str) -> RedisResult<String> {
    loop {
        match cmd("GET").arg(key).query_async(manager).await {
            Err(error) if is_lost(&error) => {}
            done => return done,
        }
    }
}

fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped()
}

/// Waits for what is asynchronous, but not for ever.
fn wait_for(work: impl Future<Output = RedisResult<()>>) -> RedisResult<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await }).expect("it ends in time")
}

/// Asserts that it failed, with these words.
fn assert_refused<T: std::fmt::Debug>(reply: &RedisResult<T>, words: &str) {
    let error = reply.as_ref().expect_err(words);
    let code = error.code().unwrap_or_default();
    let said = format!("{code} {error}");
    assert!(said.contains(words), "no {words} in {said}");
}

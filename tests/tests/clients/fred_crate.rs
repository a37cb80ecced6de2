//! The `fred` crate, which is asynchronous and connects again by itself.

use std::collections::{BTreeMap, BTreeSet};

use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::client::{ClientKillFilter, ClientKillType};
use fred::types::lists::LMoveDirection;
use fred::types::scan::Scanner;
use fred::types::streams::XReadResponse;
use fred::types::{ClusterHash, CustomCommand, Map, Message, MessageKind, RespVersion};
use futures_util::TryStreamExt;
use futures_util::future::join;
use interlay_tests::PATIENCE;

use super::scene::{PASSWORD, Scene};
use super::steps::{PROTOCOLS, Progress, STEPS};
use super::{FUNCTIONS, NAME, ROUND_TRIPS, SCRIPTS_DB, megabyte};

/// Goes through all steps.
pub(crate) fn run(mut scene: Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut progress = Progress::default();
    for protocol in PROTOCOLS {
        let at = At { port: scene.port(), password_port: scene.password_port(), protocol };
        for step in STEPS {
            let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, at.step(step, &mut scene)).await });
            let done = done.unwrap_or_else(|_| panic!("{step} in RESP{protocol} does not end"));
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
    async fn step(&self, step: &str, scene: &mut Scene) -> FredResult<()> {
        match step {
            "handshake" => self.handshake().await,
            "password" => self.password().await,
            "pipeline" => self.pipeline().await,
            "transaction" => self.transaction().await,
            "watch" => self.watch().await,
            "multi" => self.multi().await,
            "pubsub" => self.pubsub().await,
            "resubscribe" => self.resubscribe().await,
            "blocking" => self.blocking().await,
            "scripts" => self.scripts().await,
            "scan" => self.scan().await,
            "binary" => self.binary().await,
            "kill" => self.kill().await,
            "restart" => self.restart(scene).await,
            _ => panic!("no such step: {step}"),
        }
    }

    fn config(&self, port: u16) -> Config {
        Config {
            server: ServerConfig::new_centralized("127.0.0.1", port),
            version: if self.protocol == 2 { RespVersion::RESP2 } else { RespVersion::RESP3 },
            database: Some(self.protocol),
            ..Config::default()
        }
    }

    /// A client in a database of the protocol's own.
    async fn connect(&self) -> FredResult<Client> {
        self.connect_with(self.config(self.port)).await
    }

    async fn connect_with(&self, config: Config) -> FredResult<Client> {
        let client = reconnecting(config).build()?;
        client.init().await?;
        Ok(client)
    }

    async fn handshake(&self) -> FredResult<()> {
        let client = self.connect().await?;
        assert_eq!(client.ping::<String>(None).await?, "PONG");
        for name in [NAME, "renamed"] {
            client.client_setname(name).await?;
            assert_eq!(client.client_getname::<String>().await?, name);
        }
        let info: String = client.client_info().await?;
        for field in [format!(" db={} ", self.protocol), format!(" resp={}", self.protocol), " name=renamed ".to_owned()] {
            assert!(info.contains(&field), "no{field}in {info}");
        }
        assert_eq!(client.hset::<i64, _, _>("hash", [("f", "1"), ("g", "2")]).await?, 2);
        let hash: BTreeMap<String, String> = client.hgetall("hash").await?;
        assert_eq!(hash, BTreeMap::from([("f", "1"), ("g", "2")].map(|(field, value)| (field.to_owned(), value.to_owned()))));
        set(&client, "here", "v").await?;
        for (db, there) in [(1, false), (self.protocol, true)] {
            client.select(i64::from(db)).await?;
            assert_eq!(client.exists::<bool, _>("here").await?, there);
        }
        client.quit().await
    }

    async fn password(&self) -> FredResult<()> {
        let connect = async |username: Option<&str>, password: Option<&str>| -> FredResult<bool> {
            let (username, password) = (username.map(str::to_owned), password.map(str::to_owned));
            let config = Config { username, password, fail_fast: true, ..self.config(self.password_port) };
            let client = Builder::from_config(config).build()?;
            client.init().await?;
            let there = client.exists("k").await?;
            client.quit().await?;
            Ok(there)
        };
        for username in [None, Some("default")] {
            assert!(!connect(username, Some(PASSWORD)).await?);
        }
        for (username, password) in [(None, "wrong"), (Some("nobody"), PASSWORD)] {
            assert_refused(connect(username, Some(password)).await, "WRONGPASS");
        }
        assert_refused(connect(None, None).await, "NOAUTH");
        Ok(())
    }

    async fn pipeline(&self) -> FredResult<()> {
        let client = self.connect().await?;
        let pipeline = client.pipeline();
        for n in 0..1000 {
            let _: () = pipeline.set(format!("pipelined:{n}"), n, None, None, false).await?;
            let _: () = pipeline.get(format!("pipelined:{n}")).await?;
            let _: () = pipeline.rpush("pipelined", n).await?;
        }
        let replies: Vec<Value> = pipeline.all().await?;
        for (n, replies) in replies.chunks(3).enumerate() {
            let replies: Vec<_> = replies.iter().map(|reply| reply.as_string().unwrap_or_default()).collect();
            assert_eq!(replies, ["OK".to_owned(), n.to_string(), (n + 1).to_string()]);
        }
        let pipeline = client.pipeline();
        for key in ["before", "pipelined", "after"] {
            let _: () = pipeline.incr(key).await?;
        }
        let replies: Vec<FredResult<i64>> = pipeline.try_all().await;
        assert_eq!((&replies[0], &replies[2]), (&Ok(1), &Ok(1)));
        assert_refused(replies[1].clone(), "WRONGTYPE");
        client.quit().await
    }

    async fn transaction(&self) -> FredResult<()> {
        let client = self.connect().await?;
        let transaction = client.multi();
        let _: () = transaction.incr("t").await?;
        let _: () = transaction.rpush("t:list", vec!["a", "b"]).await?;
        let _: () = transaction.lrange("t:list", 0, -1).await?;
        let replies: (i64, i64, Vec<String>) = transaction.exec(true).await?;
        assert_eq!(replies, (1, 2, vec!["a".to_owned(), "b".to_owned()]));

        let transaction = client.multi();
        for key in ["t", "t:list", "t"] {
            let _: () = transaction.incr(key).await?;
        }
        assert_refused(transaction.exec::<Value>(true).await, "WRONGTYPE");
        assert_eq!(client.get::<i64, _>("t").await?, 3);

        let transaction = client.multi();
        let _: () = transaction.incr("t").await?;
        let _: () = transaction.custom(command("GET"), Vec::<String>::new()).await?;
        assert!(transaction.exec::<Value>(false).await.is_err(), "a transaction with a wrong request");
        assert_eq!(client.get::<i64, _>("t").await?, 3);
        client.quit().await
    }

    async fn watch(&self) -> FredResult<()> {
        let (client, other) = (self.connect().await?, self.connect().await?);
        let write = async |value: &str| -> FredResult<Option<Vec<String>>> {
            let transaction = client.multi();
            let _: () = transaction.set("w", value, None, None, false).await?;
            let _: () = transaction.get("w").await?;
            transaction.exec(true).await
        };
        let done = |value: &str| Some(vec!["OK".to_owned(), value.to_owned()]);
        set(&client, "w", "1").await?;
        client.watch("w").await?;
        assert_eq!(write("2").await?, done("2"));
        client.watch("w").await?;
        set(&other, "w", "10").await?;
        assert_eq!(write("lost").await?, None);
        assert_eq!(client.get::<String, _>("w").await?, "10");
        client.watch("w").await?;
        client.unwatch().await?;
        set(&other, "w", "11").await?;
        assert_eq!(write("12").await?, done("12"));
        client.quit().await?;
        other.quit().await
    }

    async fn multi(&self) -> FredResult<()> {
        let (client, other) = (self.connect().await?, self.connect().await?);
        let raw = async |request: &str| -> FredResult<Value> {
            let mut words = request.split(' ').map(str::to_owned);
            let name = words.next().expect("a first word");
            client.custom(CustomCommand::new(name, ClusterHash::FirstKey, false), words.collect()).await
        };
        let expect = async |request: &str, reply: &str| {
            assert_eq!(raw(request).await.map(|reply| reply.as_string()), Ok(Some(reply.to_owned())), "{request}");
        };
        expect("MULTI", "OK").await;
        expect("INCR m", "QUEUED").await;
        assert!(!other.exists::<bool, _>("m").await?);
        expect("RPUSH m:list a", "QUEUED").await;
        assert_eq!(raw("EXEC").await?.convert::<(i64, i64)>()?, (1, 1));
        expect("MULTI", "OK").await;
        expect("INCR m", "QUEUED").await;
        expect("DISCARD", "OK").await;
        expect("GET m", "1").await;
        expect("MULTI", "OK").await;
        expect("INCR m", "QUEUED").await;
        assert_refused(raw("GET").await, "wrong number of arguments");
        assert_refused(raw("EXEC").await, "EXECABORT");
        expect("GET m", "1").await;
        assert_refused(raw("EXEC").await, "EXEC without MULTI");
        client.quit().await?;
        other.quit().await
    }

    async fn pubsub(&self) -> FredResult<()> {
        let (client, subscriber) = (self.connect().await?, self.subscriber().await?);
        let mut messages = subscriber.message_rx();
        let is = |message: &Message, kind: MessageKind, value: &str| {
            assert_eq!((&message.kind, &*message.channel, message.value.as_string().as_deref()), (&kind, "news", Some(value)));
        };
        // The library does not wait for the confirmation of any of them.
        let counted = async |channel: i64, pattern: i64| -> FredResult<()> {
            loop {
                let found: BTreeMap<String, i64> = client.pubsub_numsub("news").await?;
                if (found["news"], client.pubsub_numpat::<i64>().await?) == (channel, pattern) {
                    return Ok(());
                }
            }
        };
        subscriber.subscribe("news").await?;
        subscriber.psubscribe("new*").await?;
        counted(1, 1).await?;
        // Fewer than the library holds for somebody who does not read them.
        for n in 0..10 {
            assert_eq!(client.publish::<i64, _, _>("news", n).await?, 2);
        }
        for n in 0..10 {
            for kind in [MessageKind::Message, MessageKind::PMessage] {
                is(&messages.recv().await.expect("a message"), kind, &n.to_string());
            }
        }
        subscriber.unsubscribe("news").await?;
        counted(0, 1).await?;
        assert_eq!(client.publish::<i64, _, _>("news", "once").await?, 1);
        is(&messages.recv().await.expect("a message"), MessageKind::PMessage, "once");
        subscriber.punsubscribe("new*").await?;
        counted(0, 0).await?;
        assert_eq!(client.publish::<i64, _, _>("news", "nobody").await?, 0);
        // Without subscriptions it is an ordinary connection again.
        assert_eq!(subscriber.echo::<String, _>("ordinary").await?, "ordinary");
        assert!(messages.try_recv().is_err(), "one message too many");
        subscriber.quit().await?;
        client.quit().await
    }

    async fn resubscribe(&self) -> FredResult<()> {
        let (client, subscriber) = (self.connect().await?, self.subscriber().await?);
        let mut messages = subscriber.message_rx();
        let manager = subscriber.manage_subscriptions();
        subscriber.subscribe("back").await?;
        // As soon as the server has taken note of it.
        while client.client_kill::<i64>(vec![ClientKillFilter::Type(ClientKillType::Pubsub)]).await? == 0 {}
        while client.publish::<i64, _, _>("back", "again").await? == 0 {
            tokio::task::yield_now().await;
        }
        let message = messages.recv().await.expect("a message");
        assert_eq!((&*message.channel, message.value.as_string().as_deref()), ("back", Some("again")));
        assert!(messages.try_recv().is_err(), "one message too many");
        manager.abort();
        subscriber.quit().await?;
        client.quit().await
    }

    async fn subscriber(&self) -> FredResult<SubscriberClient> {
        let subscriber = reconnecting(self.config(self.port)).build_subscriber_client()?;
        subscriber.init().await?;
        Ok(subscriber)
    }

    async fn blocking(&self) -> FredResult<()> {
        let (waiter, client) = (self.connect().await?, self.connect().await?);
        let served = async |serve: &[&str]| -> FredResult<()> {
            for _ in 0..ROUND_TRIPS {
                let _: () = client.ping(None).await?;
            }
            let name = CustomCommand::new(serve[0], ClusterHash::FirstKey, false);
            client.custom(name, serve[1..].iter().map(ToString::to_string).collect()).await
        };
        let (popped, pushed) =
            join(waiter.blpop::<(String, String), _>(vec!["b:none", "b:list"], 10.0), served(&["RPUSH", "b:list", "a", "b"])).await;
        assert_eq!((popped?, pushed?), (("b:list".to_owned(), "a".to_owned()), ()));
        // The library makes an error of it that nothing has come.
        let nothing = waiter.blpop::<(String, String), _>("b:none", 0.05).await.expect_err("an empty list");
        assert_eq!(nothing.kind(), &ErrorKind::Timeout, "{nothing}");
        let move_one = waiter.blmove::<String, _, _>("b:from", "b:to", LMoveDirection::Left, LMoveDirection::Right, 10.0);
        let (moved, pushed) = join(move_one, served(&["RPUSH", "b:from", "x"])).await;
        assert_eq!((&*moved?, pushed?), ("x", ()));
        assert_eq!(client.lrange::<Vec<String>, _>("b:to", 0, -1).await?, ["x"]);
        let read = waiter.xread_map::<String, String, String, String, _, _>(None, Some(10_000), "b:stream", "0-0");
        let (read, added) = join(read, served(&["XADD", "b:stream", "5-1", "f", "v"])).await;
        let read: XReadResponse<String, String, String, String> = read?;
        assert_eq!((&*read["b:stream"][0].0, &*read["b:stream"][0].1["f"], added?), ("5-1", "v", ()));
        let least = waiter.bzpopmin::<(String, String, f64), _>("b:zset", 10.0);
        let (least, added) = join(least, served(&["ZADD", "b:zset", "1.5", "m", "2", "n"])).await;
        assert_eq!((least?, added?), (("b:zset".to_owned(), "m".to_owned(), 1.5), ()));
        assert_eq!(client.zcard::<i64, _>("b:zset").await?, 1);
        waiter.quit().await?;
        client.quit().await
    }

    async fn scripts(&self) -> FredResult<()> {
        let client = self.connect_with(Config { database: Some(SCRIPTS_DB), ..self.config(self.port) }).await?;
        let reply: (String, String, i64) = client.eval("return {KEYS[1], ARGV[1], 3}", "k", "a").await?;
        assert_eq!(reply, ("k".to_owned(), "a".to_owned(), 3));
        let twice = "redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')";
        assert_refused(client.eval::<Value, _, _, _>(twice, "text", "v").await, "WRONGTYPE");
        let unknown = "0".repeat(40);
        assert_refused(client.evalsha::<Value, _, _, _>(unknown.clone(), "k", "v").await, "NOSCRIPT");
        let sha: String = client.script_load("return redis.call('INCRBY', KEYS[1], ARGV[1])").await?;
        assert_eq!(client.evalsha::<i64, _, _, _>(sha.clone(), "s", 10).await?, 10);
        assert_eq!(client.script_exists::<Vec<bool>, _>(vec![sha, unknown]).await?, [true, false]);
        assert_eq!(client.function_load::<String, _>(true, FUNCTIONS).await?, NAME);
        assert_eq!(client.fcall::<String, _, _, _>("put", "f", "v").await?, "OK");
        assert_eq!(client.get::<String, _>("f").await?, "v");
        assert_eq!(client.function_delete::<String, _>(NAME).await?, "OK");
        assert_refused(client.fcall::<Value, _, _, _>("put", "f", "v").await, "Function not found");
        let _: () = client.custom(command("FLUSHDB"), Vec::<String>::new()).await?;
        client.quit().await
    }

    async fn scan(&self) -> FredResult<()> {
        let client = self.connect().await?;
        let names: BTreeSet<String> = (0..500).map(|n| format!("scan:{n}")).collect();
        let pairs: Vec<_> = names.iter().map(|name| (name.clone(), "v")).collect();
        let _: () = client.mset(pairs.clone()).await?;
        let _: () = client.hset("sc:hash", Map::try_from(pairs)?).await?;
        let _: () = client.sadd("sc:set", names.iter().cloned().collect::<Vec<_>>()).await?;
        let scores: Vec<_> = names.iter().map(|name| (1.5, name.clone())).collect();
        let _: () = client.zadd("sc:zset", None, None, false, false, scores).await?;

        let keys: Vec<Key> = client.scan_buffered("scan:*", Some(50), None).try_collect().await?;
        assert_eq!(keys.iter().map(|key| key.as_str_lossy().into_owned()).collect::<BTreeSet<_>>(), names);
        let mut fields = BTreeSet::new();
        let mut pages = Box::pin(client.hscan("sc:hash", "*", Some(50)));
        while let Some(mut page) = pages.try_next().await? {
            let part = page.take_results().into_iter().flat_map(|part| part.inner());
            fields.extend(part.map(|(field, _)| field.as_str_lossy().into_owned()));
            page.next();
        }
        assert_eq!(fields, names);
        let mut members = BTreeSet::new();
        let mut pages = Box::pin(client.sscan("sc:set", "scan:1*", Some(50)));
        while let Some(mut page) = pages.try_next().await? {
            members.extend(page.take_results().into_iter().flatten().filter_map(|member| member.as_string()));
            page.next();
        }
        assert_eq!(members, names.iter().filter(|name| name.starts_with("scan:1")).cloned().collect());
        let mut members = BTreeSet::new();
        let mut pages = Box::pin(client.zscan("sc:zset", "*", Some(50)));
        while let Some(mut page) = pages.try_next().await? {
            let part = page.take_results().into_iter().flatten().filter(|(_, score)| score.to_string() == "1.5");
            members.extend(part.filter_map(|(member, _)| member.as_string()));
            page.next();
        }
        assert_eq!(members, names);
        client.quit().await
    }

    async fn binary(&self) -> FredResult<()> {
        let client = self.connect().await?;
        let (key, value) = ((0..=255).collect::<Vec<u8>>(), megabyte());
        let _: () = client.set(&key[..], &value[..], None, None, false).await?;
        assert_eq!(client.strlen::<usize, _>(&key[..]).await?, value.len());
        assert!(client.get::<Vec<u8>, _>(&key[..]).await? == value, "another value");
        assert_eq!(client.getrange::<Vec<u8>, _>(&key[..], value.len() - 256, value.len() - 1).await?, key);
        client.quit().await
    }

    async fn kill(&self) -> FredResult<()> {
        let (client, other) = (self.connect().await?, self.connect().await?);
        set(&client, "kept", "v").await?;
        let number: i64 = client.client_id().await?;
        assert_eq!(other.client_kill::<i64>(vec![ClientKillFilter::ID(number.to_string())]).await?, 1);
        assert_eq!(client.get::<String, _>("kept").await?, "v");
        assert_ne!(client.client_id::<i64>().await?, number);
        client.quit().await?;
        other.quit().await
    }

    async fn restart(&self, scene: &mut Scene) -> FredResult<()> {
        let client = self.connect().await?;
        set(&client, "before", "v").await?;
        scene.restart();
        assert_eq!(client.get::<String, _>("before").await?, "v");
        client.quit().await
    }
}

/// What makes clients that connect again, as often as it takes.
fn reconnecting(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder.set_policy(ReconnectPolicy::new_constant(0, 20));
    builder
}

/// A request that the library has no name for.
fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

async fn set(client: &Client, key: &str, value: &str) -> FredResult<()> {
    client.set(key, value, None, None, false).await
}

/// Asserts that it failed, with these words.
fn assert_refused<T: std::fmt::Debug>(reply: FredResult<T>, words: &str) {
    let error = reply.expect_err(words).to_string();
    assert!(error.contains(words), "no {words} in {error}");
}

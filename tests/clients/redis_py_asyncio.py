"""redis-py, as a program with asyncio uses it: each step in RESP2 and in RESP3."""

import asyncio

import redis
import redis.asyncio
from common import (
    FUNCTIONS, MEGABYTE, NAME, PASSWORD, PASSWORD_PORT, PORT, ROUND_TRIPS, SCRIPTS_DB, Refused, expect, run, wait_for_restart,
)
from redis.backoff import ExponentialBackoff
from redis.asyncio.retry import Retry

# The library waits for up to 10 s between attempts unless told otherwise.
RETRY = Retry(ExponentialBackoff(cap=0.2, base=0.01), 20)


def connect(protocol, **options):
    """A client with a pool, in a database of the protocol's own. One request at a time takes one connection."""
    return redis.asyncio.Redis(port=PORT, protocol=protocol, **{"db": protocol, "client_name": NAME, "retry": RETRY, **options})


async def handshake(protocol):
    async with connect(protocol) as client:
        expect(await client.ping(), True)
        expect(await client.client_getname(), NAME)
        info = await client.client_info()
        expect((int(info["db"]), int(info["resp"]), info["name"]), (protocol, protocol, NAME))
        await client.set("here", "v")
        # Many at once take many connections, each with a handshake of its own.
        names = await asyncio.gather(*(client.client_getname() for _ in range(20)))
        expect(names, [NAME] * 20)
        expect(sorted(await asyncio.gather(*(client.incr("gathered") for _ in range(100)))), list(range(1, 101)))
    async with connect(protocol, single_connection_client=True) as client:
        expect(await client.client_setname("renamed"), True)
        expect(await client.client_getname(), "renamed")
        expect(await client.select(1), True)
        expect(await client.exists("here"), 0)
        expect(await client.select(protocol), True)
        expect(await client.exists("here"), 1)


async def password(protocol):
    for options in {"password": PASSWORD}, {"username": "default", "password": PASSWORD}:
        async with redis.asyncio.Redis(port=PASSWORD_PORT, protocol=protocol, db=protocol, client_name=NAME, **options) as client:
            expect(await client.client_getname(), NAME)
    for options, word in [
        ({"password": "wrong"}, "invalid username-password pair"),
        ({"username": "nobody", "password": PASSWORD}, "invalid username-password pair"),
        ({}, "uthenticat"),  # HELLO and other commands say it in different words
    ]:
        async with redis.asyncio.Redis(port=PASSWORD_PORT, protocol=protocol, retry=Retry(ExponentialBackoff(), 0), **options) as client:
            with Refused((redis.AuthenticationError, redis.ResponseError), word):
                await client.get("k")


async def pipeline(protocol):
    async with connect(protocol) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(1000):
            pipe.set(f"pipelined:{n}", n).get(f"pipelined:{n}").rpush("pipelined", n)
        replies = await pipe.execute()
        expect(replies[1::3], [str(n) for n in range(1000)])
        expect(replies[2::3], list(range(1, 1001)))
        pipe = client.pipeline(transaction=False).incr("before").incr("pipelined").incr("after")
        failed = await pipe.execute(raise_on_error=False)
        expect((failed[0], failed[2]), (1, 1))
        assert isinstance(failed[1], redis.ResponseError) and "WRONGTYPE" in str(failed[1]), failed


async def transaction(protocol):
    async with connect(protocol) as client:
        pipe = client.pipeline().incr("t").rpush("t:list", "a", "b").lrange("t:list", 0, -1)
        expect(await pipe.execute(), [1, 2, ["a", "b"]])
        failed = await client.pipeline().incr("t").incr("t:list").incr("t").execute(raise_on_error=False)
        expect((failed[0], failed[2]), (2, 3))
        assert isinstance(failed[1], redis.ResponseError) and "WRONGTYPE" in str(failed[1]), failed
        with Refused(redis.ResponseError, "wrong number of arguments"):
            await client.pipeline().incr("t").execute_command("GET").execute()
        expect(await client.get("t"), "3")
        # Transactions of many connections at once, none of which sees another one's half.
        pairs = await asyncio.gather(*(client.pipeline().incr("t:one").incr("t:two").execute() for _ in range(50)))
        expect(sorted(pairs), [[n, n] for n in range(1, 51)])


async def watch(protocol):
    async with connect(protocol) as client, connect(protocol) as other:
        await client.set("w", 1)
        async with client.pipeline() as pipe:
            await pipe.watch("w")
            value = int(await pipe.get("w"))
            pipe.multi()
            expect(await pipe.set("w", value + 1).get("w").execute(), [True, "2"])
        async with client.pipeline() as pipe:
            await pipe.watch("w")
            await other.set("w", 10)
            pipe.multi()
            pipe.set("w", "lost")
            with Refused(redis.WatchError, ""):
                await pipe.execute()
        expect(await client.get("w"), "10")
        async with client.pipeline() as pipe:
            await pipe.watch("w")
            await pipe.unwatch()
            await other.set("w", 11)
            pipe.multi()
            expect(await pipe.incr("w").execute(), [12])

        async def add(pipe):
            value = int(await pipe.get("w"))
            pipe.multi()
            pipe.set("w", value + 1)

        # Each tries again until nobody has interfered: no addition is lost.
        await asyncio.gather(*(client.transaction(add, "w") for _ in range(10)))
        expect(await other.get("w"), "22")


async def multi(protocol):
    async with connect(protocol, single_connection_client=True) as client, connect(protocol) as other:
        raw = client.execute_command
        expect(await raw("MULTI"), "OK")
        expect(await raw("INCR", "m"), "QUEUED")
        expect(await other.exists("m"), 0)
        expect(await raw("RPUSH", "m:list", "a"), "QUEUED")
        expect(await raw("EXEC"), [1, 1])
        expect(await raw("MULTI"), "OK")
        expect(await raw("INCR", "m"), "QUEUED")
        expect(await raw("DISCARD"), "OK")
        expect(await client.get("m"), "1")
        expect(await raw("MULTI"), "OK")
        expect(await raw("INCR", "m"), "QUEUED")
        with Refused(redis.ResponseError, "wrong number of arguments"):
            await raw("GET")
        with Refused(redis.ResponseError, "Transaction discarded"):
            await raw("EXEC")
        expect(await client.get("m"), "1")
        with Refused(redis.ResponseError, "EXEC without MULTI"):
            await raw("EXEC")


async def next_message(messages):
    message = await messages.get_message(timeout=10)
    return message and [message["type"], message["pattern"], message["channel"], message["data"]]


async def pubsub(protocol):
    async with connect(protocol) as client, client.pubsub() as messages:
        await messages.subscribe("news")
        expect(await next_message(messages), ["subscribe", None, "news", 1])
        await messages.psubscribe("new*")
        expect(await next_message(messages), ["psubscribe", None, "new*", 2])
        expect(await asyncio.gather(*(client.publish("news", "many") for _ in range(10))), [2] * 10)
        for n in range(100):
            expect(await client.publish("news", n), 2)
        for data in ["many"] * 10 + [str(n) for n in range(100)]:
            expect(await next_message(messages), ["message", None, "news", data])
            expect(await next_message(messages), ["pmessage", "new*", "news", data])
        await messages.unsubscribe("news")
        expect(await next_message(messages), ["unsubscribe", None, "news", 1])
        expect(await client.publish("news", "once"), 1)
        expect(await next_message(messages), ["pmessage", "new*", "news", "once"])
        await messages.punsubscribe("new*")
        expect(await next_message(messages), ["punsubscribe", None, "new*", 0])
        expect(await client.publish("news", "nobody"), 0)


async def resubscribe(protocol):
    async with connect(protocol) as client, client.pubsub() as messages:
        await messages.subscribe("back")
        expect(await next_message(messages), ["subscribe", None, "back", 1])
        expect(await client.client_kill_filter(_type="pubsub"), 1)
        expect(await next_message(messages), ["subscribe", None, "back", 1])
        expect(await client.publish("back", "again"), 1)
        expect(await next_message(messages), ["message", None, "back", "again"])


async def blocking(protocol):
    async with connect(protocol) as client:

        async def served(wait, serve):
            """The reply to what waits, on a connection of its own, until it is served."""
            waiting = asyncio.create_task(wait)
            for _ in range(ROUND_TRIPS):
                await client.ping()
            await serve()
            return await asyncio.wait_for(waiting, 10)

        pushed = served(client.blpop(["b:none", "b:list"], 10), lambda: client.rpush("b:list", "a", "b"))
        expect(await pushed, ["b:list", "a"])
        expect(await client.blpop("b:none", 0.05), None)
        expect(await served(client.blmove("b:from", "b:to", 10), lambda: client.rpush("b:from", "x")), "x")
        expect(await client.lrange("b:to", 0, -1), ["x"])
        added = served(client.xread({"b:stream": "0-0"}, block=10_000), lambda: client.xadd("b:stream", {"f": "v"}, id="5-1"))
        found = await added
        # One stream: its name, and its entries.
        ((name, entries),) = found.items() if isinstance(found, dict) else found
        expect((name, "5-1" in str(entries)), ("b:stream", True))
        least = served(client.bzpopmin("b:zset", 10), lambda: client.zadd("b:zset", {"m": 1.5, "n": 2}))
        expect(await least, ["b:zset", "m", 1.5])
        expect(await client.zcard("b:zset"), 1)
        # Many wait, and each gets one.
        waiting = [asyncio.create_task(client.blpop("b:many", 10)) for _ in range(20)]
        for n in range(20):
            await client.rpush("b:many", n)
        popped = [int(element) for _, element in await asyncio.gather(*waiting)]
        expect(sorted(popped), list(range(20)))


async def scripts(protocol):
    async with connect(protocol, db=SCRIPTS_DB) as client:
        expect(await client.eval("return {KEYS[1], ARGV[1], 3}", 1, "k", "a"), ["k", "a", 3])
        expect(await client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "s", 5), 5)
        with Refused(redis.ResponseError, "WRONGTYPE"):
            await client.eval("redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')", 1, "text")
        with Refused(redis.exceptions.NoScriptError, "No matching script"):
            await client.evalsha("0" * 40, 0)
        sha = await client.script_load("return redis.call('INCRBY', KEYS[1], 10)")
        expect(await client.evalsha(sha, 1, "s"), 15)
        expect(await client.script_exists(sha, "0" * 40), [True, False])
        # The helper that loads a script where it is not known yet.
        script = client.register_script(f"return redis.call('INCRBY', KEYS[1], {protocol})")
        expect(await script(keys=["s"]), 15 + protocol)
        expect(await client.function_load(FUNCTIONS, replace=True), "matrix")
        expect(await client.fcall("put", 1, "f", "v"), "OK")
        expect(await client.get("f"), "v")
        expect(await client.function_delete("matrix"), True)
        with Refused(redis.ResponseError, "Function not found"):
            await client.fcall("put", 1, "f", "v")
        await client.flushdb()


async def scan(protocol):
    async with connect(protocol) as client:
        names = {f"scan:{n}".encode() for n in range(500)}
        await client.mset(dict.fromkeys(names, "v"))
        await client.hset("sc:hash", mapping=dict.fromkeys(names, "v"))
        await client.sadd("sc:set", *names)
        await client.zadd("sc:zset", dict.fromkeys(names, 1.5))
        expect(sorted({name async for name in client.scan_iter("scan:*", count=50)}), sorted(names))
        fields = {field: value async for field, value in client.hscan_iter("sc:hash", count=50)}
        expect(sorted(fields.items()), sorted((name, b"v") for name in names))
        members = {name async for name in client.sscan_iter("sc:set", "scan:1*")}
        expect(sorted(members), sorted(name for name in names if name.startswith(b"scan:1")))
        scores = {tuple(pair) async for pair in client.zscan_iter("sc:zset")}
        expect(sorted(scores), sorted((name, 1.5) for name in names))


async def binary(protocol):
    async with connect(protocol) as client:
        key = bytes(range(256))
        expect(await client.set(key, MEGABYTE), True)
        expect(await client.strlen(key), len(MEGABYTE))
        expect(await asyncio.gather(*(client.get(key) for _ in range(5))), [MEGABYTE] * 5)
        expect(await client.getrange(key, -256, -1), bytes(range(256)))


async def kill(protocol):
    async with connect(protocol) as client, connect(protocol) as other:
        await client.set("kept", "v")
        number = await client.client_id()
        expect(await other.client_kill_filter(_id=number), 1)
        expect(await client.get("kept"), "v")
        assert await client.client_id() != number, "the connection was not killed"
        expect((await client.client_getname(), int((await client.client_info())["db"])), (NAME, protocol))


async def restart(protocol):
    async with connect(protocol) as client:
        await client.set("before", "v")
        wait_for_restart()
        expect(await client.get("before"), "v")
        expect((await client.client_getname(), int((await client.client_info())["db"])), (NAME, protocol))


run(
    [handshake, password, pipeline, transaction, watch, multi, pubsub, resubscribe, blocking, scripts, scan, binary, kill, restart],
    lambda step, protocol: asyncio.run(step(protocol)),
)

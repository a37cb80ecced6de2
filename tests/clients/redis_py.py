"""redis-py, as a program without asyncio uses it: each step in RESP2 and in RESP3."""

from concurrent.futures import ThreadPoolExecutor

import redis
from common import (
    FUNCTIONS, MEGABYTE, NAME, PASSWORD, PASSWORD_PORT, PORT, ROUND_TRIPS, SCRIPTS_DB, Refused, expect, run, wait_for_restart,
)
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

# The library waits for up to 10 s between attempts unless told otherwise.
RETRY = Retry(ExponentialBackoff(cap=0.2, base=0.01), 20)


def connect(protocol, **options):
    """A client with one connection, in a database of the protocol's own."""
    options = {"db": protocol, "client_name": NAME, "retry": RETRY, "single_connection_client": True, **options}
    return redis.Redis(port=PORT, protocol=protocol, **options)


def handshake(protocol):
    client = connect(protocol)
    expect(client.ping(), True)
    expect(client.client_getname(), NAME)
    info = client.client_info()
    expect((int(info["db"]), int(info["resp"]), info["name"]), (protocol, protocol, NAME))
    expect(client.client_setname("renamed"), True)
    expect(client.client_getname(), "renamed")
    # The reply's type is the protocol's: a list or a map.
    client.set_response_callback("HGETALL", lambda reply, **_: reply)
    client.hset("hash", mapping={"f": "1", "g": "2"})
    expect(client.hgetall("hash"), [b"f", b"1", b"g", b"2"] if protocol == 2 else {b"f": b"1", b"g": b"2"})
    client.set("here", "v")
    expect(client.select(1), True)
    expect(client.exists("here"), 0)
    expect(client.select(protocol), True)
    expect(client.exists("here"), 1)
    client.close()


def password(protocol):
    for options in {"password": PASSWORD}, {"username": "default", "password": PASSWORD}:
        client = redis.Redis(port=PASSWORD_PORT, protocol=protocol, db=protocol, client_name=NAME, **options)
        expect(client.client_getname(), NAME)
        client.close()
    for options, word in [
        ({"password": "wrong"}, "invalid username-password pair"),
        ({"username": "nobody", "password": PASSWORD}, "invalid username-password pair"),
        ({}, "uthenticat"),  # HELLO and other commands say it in different words
    ]:
        client = redis.Redis(port=PASSWORD_PORT, protocol=protocol, retry=Retry(ExponentialBackoff(), 0), **options)
        with Refused((redis.AuthenticationError, redis.ResponseError), word):
            client.get("k")
        client.close()


def pipeline(protocol):
    client = connect(protocol)
    pipe = client.pipeline(transaction=False)
    for n in range(1000):
        pipe.set(f"pipelined:{n}", n).get(f"pipelined:{n}").rpush("pipelined", n)
    replies = pipe.execute()
    expect(replies[1::3], [str(n) for n in range(1000)])
    expect(replies[2::3], list(range(1, 1001)))
    failed = client.pipeline(transaction=False).incr("before").incr("pipelined").incr("after").execute(raise_on_error=False)
    expect((failed[0], failed[2]), (1, 1))
    assert isinstance(failed[1], redis.ResponseError) and "WRONGTYPE" in str(failed[1]), failed
    client.close()


def transaction(protocol):
    client = connect(protocol)
    expect(client.pipeline().incr("t").rpush("t:list", "a", "b").lrange("t:list", 0, -1).execute(), [1, 2, ["a", "b"]])
    failed = client.pipeline().incr("t").incr("t:list").incr("t").execute(raise_on_error=False)
    expect((failed[0], failed[2]), (2, 3))
    assert isinstance(failed[1], redis.ResponseError) and "WRONGTYPE" in str(failed[1]), failed
    with Refused(redis.ResponseError, "wrong number of arguments"):
        client.pipeline().incr("t").execute_command("GET").execute()
    expect(client.get("t"), "3")
    client.close()


def watch(protocol):
    client, other = connect(protocol), connect(protocol)
    client.set("w", 1)
    with client.pipeline() as pipe:
        pipe.watch("w")
        value = int(pipe.get("w"))
        pipe.multi()
        expect(pipe.set("w", value + 1).get("w").execute(), [True, "2"])
    with client.pipeline() as pipe:
        pipe.watch("w")
        other.set("w", 10)
        pipe.multi()
        pipe.set("w", "lost")
        with Refused(redis.WatchError, ""):
            pipe.execute()
    expect(client.get("w"), "10")
    with client.pipeline() as pipe:
        pipe.watch("w")
        pipe.unwatch()
        other.set("w", 11)
        pipe.multi()
        expect(pipe.incr("w").execute(), [12])
    # The helper that tries again until nobody interferes.
    interfere = iter([True, False])

    def add(pipe):
        value = int(pipe.get("w"))
        if next(interfere):
            other.incr("w")
        pipe.multi()
        pipe.set("w", value + 100)

    expect(client.transaction(add, "w"), [True])
    expect(other.get("w"), "113")
    client.close()
    other.close()


def multi(protocol):
    client, other = connect(protocol), connect(protocol)
    raw = client.execute_command
    expect(raw("MULTI"), "OK")
    expect(raw("INCR", "m"), "QUEUED")
    expect(other.exists("m"), 0)
    expect(raw("RPUSH", "m:list", "a"), "QUEUED")
    expect(raw("EXEC"), [1, 1])
    expect(raw("MULTI"), "OK")
    expect(raw("INCR", "m"), "QUEUED")
    expect(raw("DISCARD"), "OK")
    expect(client.get("m"), "1")
    expect(raw("MULTI"), "OK")
    expect(raw("INCR", "m"), "QUEUED")
    with Refused(redis.ResponseError, "wrong number of arguments"):
        raw("GET")
    with Refused(redis.ResponseError, "Transaction discarded"):
        raw("EXEC")
    expect(client.get("m"), "1")
    with Refused(redis.ResponseError, "EXEC without MULTI"):
        raw("EXEC")
    client.close()
    other.close()


def next_message(messages):
    message = messages.get_message(timeout=10)
    return message and [message["type"], message["pattern"], message["channel"], message["data"]]


def pubsub(protocol):
    client = connect(protocol)
    messages = client.pubsub()
    messages.subscribe("news")
    expect(next_message(messages), ["subscribe", None, "news", 1])
    messages.psubscribe("new*")
    expect(next_message(messages), ["psubscribe", None, "new*", 2])
    for n in range(100):
        expect(client.publish("news", n), 2)
    for n in range(100):
        expect(next_message(messages), ["message", None, "news", str(n)])
        expect(next_message(messages), ["pmessage", "new*", "news", str(n)])
    messages.unsubscribe("news")
    expect(next_message(messages), ["unsubscribe", None, "news", 1])
    expect(client.publish("news", "once"), 1)
    expect(next_message(messages), ["pmessage", "new*", "news", "once"])
    messages.punsubscribe("new*")
    expect(next_message(messages), ["punsubscribe", None, "new*", 0])
    expect(client.publish("news", "nobody"), 0)
    messages.close()
    client.close()


def resubscribe(protocol):
    client = connect(protocol)
    messages = client.pubsub()
    messages.subscribe("back")
    expect(next_message(messages), ["subscribe", None, "back", 1])
    expect(client.client_kill_filter(_type="pubsub"), 1)
    expect(next_message(messages), ["subscribe", None, "back", 1])
    expect(client.publish("back", "again"), 1)
    expect(next_message(messages), ["message", None, "back", "again"])
    messages.close()
    client.close()


def blocking(protocol):
    waiter, client = connect(protocol), connect(protocol)

    def served(wait, serve):
        """The reply to what waits in another thread until it is served."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait)
            for _ in range(ROUND_TRIPS):
                client.ping()
            serve()
            return waiting.result(10)

    expect(served(lambda: waiter.blpop(["b:none", "b:list"], 10), lambda: client.rpush("b:list", "a", "b")), ["b:list", "a"])
    expect(waiter.blpop("b:none", 0.05), None)
    expect(served(lambda: waiter.blmove("b:from", "b:to", 10), lambda: client.rpush("b:from", "x")), "x")
    expect(client.lrange("b:to", 0, -1), ["x"])
    found = served(lambda: waiter.xread({"b:stream": "0-0"}, block=10_000), lambda: client.xadd("b:stream", {"f": "v"}, id="5-1"))
    found = found.items() if isinstance(found, dict) else found
    # One stream: its name, and its entries.
    ((name, entries),) = found
    expect((name, "5-1" in str(entries)), ("b:stream", True))
    expect(served(lambda: waiter.bzpopmin("b:zset", 10), lambda: client.zadd("b:zset", {"m": 1.5, "n": 2})), ["b:zset", "m", 1.5])
    expect(client.zcard("b:zset"), 1)
    waiter.close()
    client.close()


def scripts(protocol):
    client = connect(protocol, db=SCRIPTS_DB)
    expect(client.eval("return {KEYS[1], ARGV[1], 3}", 1, "k", "a"), ["k", "a", 3])
    expect(client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "s", 5), 5)
    with Refused(redis.ResponseError, "WRONGTYPE"):
        client.eval("redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')", 1, "text")
    with Refused(redis.exceptions.NoScriptError, "No matching script"):
        client.evalsha("0" * 40, 0)
    sha = client.script_load("return redis.call('INCRBY', KEYS[1], 10)")
    expect(client.evalsha(sha, 1, "s"), 15)
    expect(client.script_exists(sha, "0" * 40), [True, False])
    # The helper that loads a script where it is not known yet.
    script = client.register_script(f"return redis.call('INCRBY', KEYS[1], {protocol})")
    expect(script(keys=["s"]), 15 + protocol)
    expect(client.function_load(FUNCTIONS, replace=True), "matrix")
    expect(client.fcall("put", 1, "f", "v"), "OK")
    expect(client.get("f"), "v")
    expect(client.function_delete("matrix"), True)
    with Refused(redis.ResponseError, "Function not found"):
        client.fcall("put", 1, "f", "v")
    client.flushdb()
    client.close()


def scan(protocol):
    client = connect(protocol)
    names = {f"scan:{n}".encode() for n in range(500)}
    client.mset(dict.fromkeys(names, "v"))
    client.hset("sc:hash", mapping=dict.fromkeys(names, "v"))
    client.sadd("sc:set", *names)
    client.zadd("sc:zset", dict.fromkeys(names, 1.5))
    expect(sorted(set(client.scan_iter("scan:*", count=50))), sorted(names))
    expect(sorted(dict(client.hscan_iter("sc:hash", count=50)).items()), sorted((name, b"v") for name in names))
    expect(sorted(set(client.sscan_iter("sc:set", "scan:1*"))), sorted(name for name in names if name.startswith(b"scan:1")))
    expect(sorted({tuple(pair) for pair in client.zscan_iter("sc:zset")}), sorted((name, 1.5) for name in names))
    client.close()


def binary(protocol):
    client = connect(protocol)
    key = bytes(range(256))
    expect(client.set(key, MEGABYTE), True)
    expect(client.strlen(key), len(MEGABYTE))
    expect(client.get(key), MEGABYTE)
    expect(client.getrange(key, -256, -1), bytes(range(256)))
    client.close()


def kill(protocol):
    client, other = connect(protocol), connect(protocol)
    client.set("kept", "v")
    number = client.client_id()
    expect(other.client_kill_filter(_id=number), 1)
    expect(client.get("kept"), "v")
    assert client.client_id() != number, "the connection was not killed"
    expect((client.client_getname(), int(client.client_info()["db"])), (NAME, protocol))
    client.close()
    other.close()


def restart(protocol):
    client = connect(protocol)
    client.set("before", "v")
    wait_for_restart()
    expect(client.get("before"), "v")
    expect((client.client_getname(), int(client.client_info()["db"])), (NAME, protocol))
    client.close()


run([handshake, password, pipeline, transaction, watch, multi, pubsub, resubscribe, blocking, scripts, scan, binary, kill, restart])

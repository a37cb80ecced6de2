"""What redis-py does for a program, sync and asyncio, in RESP2 and RESP3, through the interlay on port argv[1].

Prints "restart" when it wants the interlay restarted, and waits for a line that says so. Fails with a traceback.
"""

import asyncio
import sys

import redis
import redis.asyncio

PORT = int(sys.argv[1])
BINARY = bytes(range(256))


def restart():
    print("restart", flush=True)
    assert sys.stdin.readline() == "restarted\n"


def expect(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def sync_client(protocol, db):
    client = redis.Redis(port=PORT, db=db, protocol=protocol, client_name=f"sync-{protocol}")
    expect(client.ping(), True)
    name = client.client_getname()
    expect(name.decode() if isinstance(name, bytes) else name, f"sync-{protocol}")
    client.set("string", BINARY)
    expect(client.get("string"), BINARY)
    client.set("until", "v", pxat=4102444800000)
    expect(client.expiretime("until"), 4102444800)
    expect(client.incr("counter", 5), 5)
    expect(client.rpush("list", "a", "b", "c"), 3)
    expect(client.lrange("list", 0, -1), [b"a", b"b", b"c"])
    expect(client.sadd("set", "a", "b"), 2)
    expect(client.smembers("set"), {b"a", b"b"})
    expect(client.hset("hash", mapping={"f": 1, "g": 2}), 2)
    expect(client.hgetall("hash"), {b"f": b"1", b"g": b"2"})
    expect(client.zadd("zset", {"a": 1.5, "b": 2}), 2)
    expect([tuple(pair) for pair in client.zrange("zset", 0, -1, withscores=True)], [(b"a", 1.5), (b"b", 2.0)])
    expect(client.xadd("stream", {"f": "v"}, id="1-1"), b"1-1")
    expect(client.xlen("stream"), 1)
    expect(client.get("missing"), None)
    try:
        client.incr("list")
        raise AssertionError("a list was incremented")
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error), error

    pipeline = client.pipeline(transaction=False)
    for n in range(1000):
        pipeline.set(f"pipelined:{n}", n).get(f"pipelined:{n}")
    replies = pipeline.execute()
    expect(replies[1::2], [str(n).encode() for n in range(1000)])

    restart()
    expect(client.get("string"), BINARY)
    client.close()


async def asyncio_client(protocol, db):
    client = redis.asyncio.Redis(port=PORT, db=db, protocol=protocol, client_name=f"asyncio-{protocol}")
    expect(await client.ping(), True)
    replies = await asyncio.gather(*(client.incr("gathered") for _ in range(100)))
    expect(sorted(replies), list(range(1, 101)))
    pipeline = client.pipeline(transaction=False)
    for n in range(1000):
        pipeline.rpush("gathered-list", n)
    expect(await pipeline.execute(), list(range(1, 1001)))
    restart()
    expect(await client.get("gathered"), b"100")
    await client.aclose()


for number, protocol in enumerate((2, 3)):
    sync_client(protocol, db=number)
    asyncio.run(asyncio_client(protocol, db=2 + number))

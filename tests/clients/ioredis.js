// ioredis: each step in RESP2 and in RESP3.
'use strict';

const { Redis } = require('ioredis');
const {
  EVERY_BYTE, FUNCTIONS, NAME, PASSWORD, PASSWORD_PORT, PORT, SCRIPTS_DB, expect, messages, ready, refused, run, served, waitForRestart,
} = require('./common.js');

/** A client in a database of the protocol's own. */
function connect(protocol, options = {}) {
  const client = new Redis({ port: PORT, protocol, db: protocol, connectionName: NAME, retryStrategy: () => 20, ...options });
  client.on('error', () => {}); // what matters fails a request as well
  return client;
}

/** What CLIENT INFO says, by field. */
async function info(client) {
  return Object.fromEntries((await client.client('INFO')).trim().split(' ').map((field) => field.split('=')));
}

async function handshake(protocol) {
  const client = connect(protocol);
  expect(await client.ping(), 'PONG');
  expect(await client.client('GETNAME'), NAME);
  const { db, resp, name } = await info(client);
  expect([db, resp, name], [`${protocol}`, `${protocol}`, NAME]);
  expect(await client.client('SETNAME', 'renamed'), 'OK');
  expect(await client.client('GETNAME'), 'renamed');
  await client.hset('hash', { f: '1', g: '2' });
  expect(await client.hgetall('hash'), { f: '1', g: '2' });
  await client.set('here', 'v');
  expect(await client.select(1), 'OK');
  expect(await client.exists('here'), 0);
  expect(await client.select(protocol), 'OK');
  expect(await client.exists('here'), 1);
  client.disconnect();
}

async function password(protocol) {
  for (const options of [{ password: PASSWORD }, { username: 'default', password: PASSWORD }]) {
    const client = connect(protocol, { port: PASSWORD_PORT, ...options });
    expect(await client.client('GETNAME'), NAME);
    client.disconnect();
  }
  for (const [options, pattern] of [
    [{ password: 'wrong' }, /WRONGPASS/],
    [{ username: 'nobody', password: PASSWORD }, /WRONGPASS/],
    [{}, /NOAUTH/],
  ]) {
    // Here the handshake's error is an event, and the request fails for it, or for a reason of its own.
    const client = new Redis({ port: PASSWORD_PORT, protocol, retryStrategy: () => null, ...options });
    const errors = [];
    client.on('error', (error) => errors.push(String(error)));
    const failure = await client.get('k').then(() => 'no error', String);
    if (![...errors, failure].some((error) => pattern.test(error))) throw new Error(`no ${pattern} in ${errors} and ${failure}`);
    client.disconnect();
  }
}

async function pipeline(protocol) {
  const client = connect(protocol);
  const pipe = client.pipeline();
  for (let n = 0; n < 1000; n += 1) pipe.set(`pipelined:${n}`, n).get(`pipelined:${n}`).rpush('pipelined', n);
  const replies = await pipe.exec();
  for (let n = 0; n < 1000; n += 1) {
    expect(replies.slice(3 * n, 3 * n + 3), [[null, 'OK'], [null, `${n}`], [null, n + 1]]);
  }
  const [before, failed, after] = await client.pipeline().incr('before').incr('pipelined').incr('after').exec();
  expect([before, after], [[null, 1], [null, 1]]);
  await refused(Promise.reject(failed[0]), /WRONGTYPE/);
  // Requests of one turn share a write as well.
  const incremented = await Promise.all(Array.from({ length: 100 }, () => client.incr('turn')));
  expect(incremented, Array.from({ length: 100 }, (_, n) => n + 1));
  client.disconnect();
}

async function transaction(protocol) {
  const client = connect(protocol);
  const replies = await client.multi().incr('t').rpush('t:list', 'a', 'b').lrange('t:list', 0, -1).exec();
  expect(replies, [[null, 1], [null, 2], [null, ['a', 'b']]]);
  const [first, failed, third] = await client.multi().incr('t').incr('t:list').incr('t').exec();
  expect([first, third], [[null, 2], [null, 3]]);
  await refused(Promise.reject(failed[0]), /WRONGTYPE/);
  await refused(client.multi().incr('t').call('GET').exec(), /EXECABORT/);
  expect(await client.get('t'), '3');
  client.disconnect();
}

async function watch(protocol) {
  const [client, other] = [connect(protocol), connect(protocol)];
  await client.set('w', 1);
  await client.watch('w');
  const value = Number(await client.get('w'));
  expect(await client.multi().set('w', value + 1).get('w').exec(), [[null, 'OK'], [null, '2']]);
  await client.watch('w');
  await other.set('w', 10);
  expect(await client.multi().set('w', 'lost').exec(), null);
  expect(await client.get('w'), '10');
  await client.watch('w');
  expect(await client.unwatch(), 'OK');
  await other.set('w', 11);
  expect(await client.multi().incr('w').exec(), [[null, 12]]);
  client.disconnect();
  other.disconnect();
}

async function multi(protocol) {
  const [client, other] = [connect(protocol), connect(protocol)];
  expect(await client.multi({ pipeline: false }), 'OK');
  expect(await client.incr('m'), 'QUEUED');
  expect(await other.exists('m'), 0);
  expect(await client.rpush('m:list', 'a'), 'QUEUED');
  expect(await client.exec(), [[null, 1], [null, 1]]);
  expect(await client.multi({ pipeline: false }), 'OK');
  expect(await client.incr('m'), 'QUEUED');
  expect(await client.discard(), 'OK');
  expect(await client.get('m'), '1');
  expect(await client.multi({ pipeline: false }), 'OK');
  expect(await client.incr('m'), 'QUEUED');
  await refused(client.call('GET'), /wrong number of arguments/);
  await refused(client.exec(), /EXECABORT/);
  expect(await client.get('m'), '1');
  await refused(client.exec(), /EXEC without MULTI/);
  client.disconnect();
  other.disconnect();
}

async function pubsub(protocol) {
  const [client, subscriber] = [connect(protocol), connect(protocol)];
  const come = messages();
  subscriber.on('message', (channel, message) => come.add('message', channel, message));
  subscriber.on('pmessage', (pattern, channel, message) => come.add('pmessage', pattern, channel, message));
  expect(await subscriber.subscribe('news'), 1);
  expect(await subscriber.psubscribe('new*'), 2);
  for (let n = 0; n < 100; n += 1) expect(await client.publish('news', n), 2);
  for (let n = 0; n < 100; n += 1) {
    expect(await come.next(), ['message', 'news', `${n}`]);
    expect(await come.next(), ['pmessage', 'new*', 'news', `${n}`]);
  }
  expect(await subscriber.unsubscribe('news'), 1);
  expect(await client.publish('news', 'once'), 1);
  expect(await come.next(), ['pmessage', 'new*', 'news', 'once']);
  expect(await subscriber.punsubscribe('new*'), 0);
  expect(await client.publish('news', 'nobody'), 0);
  // Without subscriptions it is an ordinary connection again.
  expect(await subscriber.echo('ordinary'), 'ordinary');
  expect(come.waiting, 0);
  client.disconnect();
  subscriber.disconnect();
}

async function resubscribe(protocol) {
  const [client, subscriber] = [connect(protocol), connect(protocol)];
  const come = messages();
  subscriber.on('message', (channel, message) => come.add(channel, message));
  expect(await subscriber.subscribe('back'), 1);
  const connected = ready(subscriber);
  expect(await client.client('KILL', 'TYPE', 'pubsub'), 1);
  await connected;
  // It subscribes after it has said that it is ready.
  for (let n = 0; (await client.publish('back', 'again')) === 0; n += 1) {
    if (n === 10_000) throw new Error('nobody has subscribed again');
  }
  expect(await come.next(), ['back', 'again']);
  expect(come.waiting, 0);
  client.disconnect();
  subscriber.disconnect();
}

async function blocking(protocol) {
  const [waiter, client] = [connect(protocol), connect(protocol)];
  const popped = waiter.blpop('b:none', 'b:list', 10);
  expect(await served(popped, client, () => client.rpush('b:list', 'a', 'b')), ['b:list', 'a']);
  expect(await waiter.blpop('b:none', 0.05), null);
  const moved = waiter.blmove('b:from', 'b:to', 'LEFT', 'RIGHT', 10);
  expect(await served(moved, client, () => client.rpush('b:from', 'x')), 'x');
  expect(await client.lrange('b:to', 0, -1), ['x']);
  const read = waiter.xread('BLOCK', 10_000, 'STREAMS', 'b:stream', '0-0');
  const found = (await served(read, client, () => client.xadd('b:stream', '5-1', 'f', 'v'))).flat();
  expect(found, ['b:stream', [['5-1', ['f', 'v']]]]);
  const least = waiter.bzpopmin('b:zset', 10);
  expect(await served(least, client, () => client.zadd('b:zset', 1.5, 'm', 2, 'n')), ['b:zset', 'm', '1.5']);
  expect(await client.zcard('b:zset'), 1);
  waiter.disconnect();
  client.disconnect();
}

async function scripts(protocol) {
  const client = connect(protocol, { db: SCRIPTS_DB });
  expect(await client.eval('return {KEYS[1], ARGV[1], 3}', 1, 'k', 'a'), ['k', 'a', 3]);
  expect(await client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, 's', 5), 5);
  await refused(client.eval("redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')", 1, 'text'), /WRONGTYPE/);
  await refused(client.evalsha('0'.repeat(40), 0), /NOSCRIPT/);
  const sha = await client.script('LOAD', "return redis.call('INCRBY', KEYS[1], 10)");
  expect(await client.evalsha(sha, 1, 's'), 15);
  expect(await client.script('EXISTS', sha, '0'.repeat(40)), [1, 0]);
  // The helper that sends a script whole where it is not known yet.
  client.defineCommand('add', { numberOfKeys: 1, lua: `return redis.call('INCRBY', KEYS[1], ARGV[1]) -- ${protocol}` });
  expect(await client.add('s', 100), 115);
  expect(await client.pipeline().add('s', 1).add('s', 1).exec(), [[null, 116], [null, 117]]);
  expect(await client.function('LOAD', 'REPLACE', FUNCTIONS), 'matrix');
  expect(await client.fcall('put', 1, 'f', 'v'), 'OK');
  expect(await client.get('f'), 'v');
  expect(await client.function('DELETE', 'matrix'), 'OK');
  await refused(client.fcall('put', 1, 'f', 'v'), /Function not found/);
  await client.flushdb();
  client.disconnect();
}

async function scan(protocol) {
  const client = connect(protocol);
  const names = Array.from({ length: 500 }, (_, n) => `scan:${n}`).sort();
  await client.mset(names.flatMap((name) => [name, 'v']));
  await client.hset('sc:hash', names.flatMap((name) => [name, 'v']));
  await client.sadd('sc:set', ...names);
  await client.zadd('sc:zset', ...names.flatMap((name) => [1.5, name]));
  const all = async (stream) => {
    const found = [];
    for await (const part of stream) found.push(...part);
    return found;
  };
  const pairs = (flat) => flat.filter((_, at) => at % 2 === 0).sort().map((name) => [name, flat[flat.indexOf(name) + 1]]);
  expect([...new Set(await all(client.scanStream({ match: 'scan:*', count: 50 })))].sort(), names);
  expect(pairs(await all(client.hscanStream('sc:hash', { count: 50 }))), names.map((name) => [name, 'v']));
  const ones = [...new Set(await all(client.sscanStream('sc:set', { match: 'scan:1*' })))].sort();
  expect(ones, names.filter((name) => name.startsWith('scan:1')));
  expect(pairs(await all(client.zscanStream('sc:zset'))), names.map((name) => [name, '1.5']));
  client.disconnect();
}

async function binary(protocol) {
  const client = connect(protocol);
  const megabyte = Buffer.concat(Array.from({ length: 4096 }, () => EVERY_BYTE));
  expect(await client.set(EVERY_BYTE, megabyte), 'OK');
  expect(await client.strlen(EVERY_BYTE), megabyte.length);
  expect((await client.getBuffer(EVERY_BYTE)).equals(megabyte), true);
  expect((await client.getrangeBuffer(EVERY_BYTE, -256, -1)).equals(EVERY_BYTE), true);
  client.disconnect();
}

async function kill(protocol) {
  const [client, other] = [connect(protocol), connect(protocol)];
  await client.set('kept', 'v');
  const number = await client.client('ID');
  const connected = ready(client);
  expect(await other.client('KILL', 'ID', number), 1);
  await connected;
  expect(await client.get('kept'), 'v');
  expect((await client.client('ID')) === number, false);
  const { db, name } = await info(client);
  expect([db, name], [`${protocol}`, NAME]);
  client.disconnect();
  other.disconnect();
}

async function restart(protocol) {
  const client = connect(protocol);
  await client.set('before', 'v');
  const connected = ready(client);
  await waitForRestart();
  await connected;
  expect(await client.get('before'), 'v');
  const { db, name } = await info(client);
  expect([db, name], [`${protocol}`, NAME]);
  client.disconnect();
}

run([handshake, password, pipeline, transaction, watch, multi, pubsub, resubscribe, blocking, scripts, scan, binary, kill, restart]);

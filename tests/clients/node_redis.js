// node-redis: each step in RESP2 and in RESP3.
'use strict';

const { createClient, defineScript, RESP_TYPES, WatchError } = require('redis');
const {
  EVERY_BYTE, FUNCTIONS, NAME, PASSWORD, PASSWORD_PORT, PORT, SCRIPTS_DB, expect, messages, ready, refused, run, served, waitForRestart,
} = require('./common.js');

/** A connected client in a database of the protocol's own. */
async function connect(protocol, { port = PORT, database = protocol, reconnectStrategy = () => 20, ...options } = {}) {
  const client = createClient({ RESP: protocol, name: NAME, database, socket: { port, reconnectStrategy }, ...options });
  client.on('error', () => {}); // what matters fails a request as well
  await client.connect();
  return client;
}

/** Two of them. */
const both = (protocol) => Promise.all([connect(protocol), connect(protocol)]);

async function handshake(protocol) {
  const client = await connect(protocol);
  expect(await client.ping(), 'PONG');
  expect(await client.clientGetName(), NAME);
  const { db, name } = await client.clientInfo();
  expect([db, name], [protocol, NAME]);
  expect((await client.sendCommand(['CLIENT', 'INFO'])).includes(` resp=${protocol}`), true);
  expect(await client.clientSetName('renamed'), 'OK');
  expect(await client.clientGetName(), 'renamed');
  await client.hSet('hash', { f: '1', g: '2' });
  expect(await client.hGetAll('hash'), { f: '1', g: '2' });
  await client.set('here', 'v');
  await client.select(1);
  expect(await client.exists('here'), 0);
  await client.select(protocol);
  expect(await client.exists('here'), 1);
  client.destroy();
}

async function password(protocol) {
  for (const options of [{ password: PASSWORD }, { username: 'default', password: PASSWORD }]) {
    const client = await connect(protocol, { port: PASSWORD_PORT, ...options });
    expect(await client.clientGetName(), NAME);
    client.destroy();
  }
  for (const [options, pattern] of [
    [{ password: 'wrong' }, /WRONGPASS/],
    [{ username: 'nobody', password: PASSWORD }, /WRONGPASS/],
    [{}, /NOAUTH/],
  ]) {
    await refused(connect(protocol, { port: PASSWORD_PORT, reconnectStrategy: false, ...options }), pattern);
  }
}

async function pipeline(protocol) {
  const client = await connect(protocol);
  const pipe = client.multi();
  for (let n = 0; n < 1000; n += 1) pipe.set(`pipelined:${n}`, n).get(`pipelined:${n}`).rPush('pipelined', `${n}`);
  const replies = await pipe.execAsPipeline();
  for (let n = 0; n < 1000; n += 1) expect(replies.slice(3 * n, 3 * n + 3), ['OK', `${n}`, n + 1]);
  // Requests of one turn are a pipeline too.
  const [before, failed, after] = await Promise.allSettled([client.incr('before'), client.incr('pipelined'), client.incr('after')]);
  expect([before.value, after.value], [1, 1]);
  await refused(Promise.reject(failed.reason), /WRONGTYPE/);
  const incremented = await Promise.all(Array.from({ length: 100 }, () => client.incr('turn')));
  expect(incremented, Array.from({ length: 100 }, (_, n) => n + 1));
  client.destroy();
}

async function transaction(protocol) {
  const client = await connect(protocol);
  const replies = await client.multi().incr('t').rPush('t:list', ['a', 'b']).lRange('t:list', 0, -1).exec();
  expect(replies, [1, 2, ['a', 'b']]);
  await refused(client.multi().incr('t').incr('t:list').incr('t').exec(), /WRONGTYPE/);
  expect(await client.get('t'), '3');
  await refused(client.multi().incr('t').addCommand(['GET']).exec(), /wrong number of arguments|EXECABORT/);
  expect(await client.get('t'), '3');
  client.destroy();
}

async function watch(protocol) {
  const [client, other] = await both(protocol);
  await client.set('w', 1);
  await client.watch('w');
  const value = Number(await client.get('w'));
  expect(await client.multi().set('w', value + 1).get('w').exec(), ['OK', '2']);
  await client.watch('w');
  await other.set('w', 10);
  const failure = await client.multi().set('w', 'lost').exec().catch((error) => error);
  expect(failure instanceof WatchError, true);
  expect(await client.get('w'), '10');
  await client.watch('w');
  expect(await client.unwatch(), 'OK');
  await other.set('w', 11);
  expect(await client.multi().incr('w').exec(), [12]);
  client.destroy();
  other.destroy();
}

async function multi(protocol) {
  const [client, other] = await both(protocol);
  const raw = (...request) => client.sendCommand(request);
  expect(await raw('MULTI'), 'OK');
  expect(await raw('INCR', 'm'), 'QUEUED');
  expect(await other.exists('m'), 0);
  expect(await raw('RPUSH', 'm:list', 'a'), 'QUEUED');
  expect(await raw('EXEC'), [1, 1]);
  expect(await raw('MULTI'), 'OK');
  expect(await raw('INCR', 'm'), 'QUEUED');
  expect(await raw('DISCARD'), 'OK');
  expect(await raw('GET', 'm'), '1');
  expect(await raw('MULTI'), 'OK');
  expect(await raw('INCR', 'm'), 'QUEUED');
  await refused(raw('GET'), /wrong number of arguments/);
  await refused(raw('EXEC'), /EXECABORT/);
  expect(await raw('GET', 'm'), '1');
  await refused(raw('EXEC'), /EXEC without MULTI/);
  client.destroy();
  other.destroy();
}

async function pubsub(protocol) {
  const [client, subscriber] = await both(protocol);
  const come = messages();
  await subscriber.subscribe('news', (message, channel) => come.add('message', channel, message));
  await subscriber.pSubscribe('new*', (message, channel) => come.add('pmessage', channel, message));
  for (let n = 0; n < 100; n += 1) expect(await client.publish('news', `${n}`), 2);
  for (let n = 0; n < 100; n += 1) {
    expect(await come.next(), ['message', 'news', `${n}`]);
    expect(await come.next(), ['pmessage', 'news', `${n}`]);
  }
  await subscriber.unsubscribe('news');
  expect(await client.publish('news', 'once'), 1);
  expect(await come.next(), ['pmessage', 'news', 'once']);
  await subscriber.pUnsubscribe('new*');
  expect(await client.publish('news', 'nobody'), 0);
  // Without subscriptions it is an ordinary connection again.
  expect(String(await subscriber.echo('ordinary')), 'ordinary');
  expect(come.waiting, 0);
  client.destroy();
  subscriber.destroy();
}

async function resubscribe(protocol) {
  const [client, subscriber] = await both(protocol);
  const come = messages();
  await subscriber.subscribe('back', (message, channel) => come.add(channel, message));
  const connected = ready(subscriber);
  expect(await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']), 1);
  await connected;
  expect(await client.publish('back', 'again'), 1);
  expect(await come.next(), ['back', 'again']);
  expect(come.waiting, 0);
  client.destroy();
  subscriber.destroy();
}

async function blocking(protocol) {
  const [waiter, client] = await both(protocol);
  const popped = waiter.blPop(['b:none', 'b:list'], 10);
  expect(await served(popped, client, () => client.rPush('b:list', ['a', 'b'])), { key: 'b:list', element: 'a' });
  expect(await waiter.blPop('b:none', 0.05), null);
  const moved = waiter.blMove('b:from', 'b:to', 'LEFT', 'RIGHT', 10);
  expect(await served(moved, client, () => client.rPush('b:from', 'x')), 'x');
  expect(await client.lRange('b:to', 0, -1), ['x']);
  const read = waiter.sendCommand(['XREAD', 'BLOCK', '10000', 'STREAMS', 'b:stream', '0-0']);
  const found = await served(read, client, () => client.xAdd('b:stream', '5-1', { f: 'v' }));
  const entries = [['5-1', ['f', 'v']]];
  expect(found, protocol === 2 ? [['b:stream', entries]] : { 'b:stream': entries });
  const least = waiter.bzPopMin('b:zset', 10);
  const add = () => client.zAdd('b:zset', [{ score: 1.5, value: 'm' }, { score: 2, value: 'n' }]);
  expect(await served(least, client, add), { key: 'b:zset', value: 'm', score: 1.5 });
  expect(await client.zCard('b:zset'), 1);
  waiter.destroy();
  client.destroy();
}

async function scripts(protocol) {
  // The helper that sends a script whole where it is not known yet.
  const add = defineScript({
    SCRIPT: `return redis.call('INCRBY', KEYS[1], ARGV[1]) -- ${protocol}`,
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, number) {
      parser.pushKey(key);
      parser.push(`${number}`);
    },
    transformReply: undefined,
  });
  const client = await connect(protocol, { database: SCRIPTS_DB, scripts: { add } });
  expect(await client.eval('return {KEYS[1], ARGV[1], 3}', { keys: ['k'], arguments: ['a'] }), ['k', 'a', 3]);
  expect(await client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", { keys: ['s'], arguments: ['5'] }), 5);
  const twice = "redis.call('SET', KEYS[1], 'v') return redis.call('LPUSH', KEYS[1], 'v')";
  await refused(client.eval(twice, { keys: ['text'] }), /WRONGTYPE/);
  await refused(client.evalSha('0'.repeat(40)), /NOSCRIPT/);
  const sha = await client.scriptLoad("return redis.call('INCRBY', KEYS[1], 10)");
  expect(await client.evalSha(sha, { keys: ['s'] }), 15);
  expect(await client.scriptExists([sha, '0'.repeat(40)]), [1, 0]);
  expect(await client.add('s', 100), 115);
  expect(await client.add('s', 1), 116);
  expect(await client.functionLoad(FUNCTIONS, { REPLACE: true }), 'matrix');
  expect(await client.fCall('put', { keys: ['f'], arguments: ['v'] }), 'OK');
  expect(await client.get('f'), 'v');
  expect(await client.functionDelete('matrix'), 'OK');
  await refused(client.fCall('put', { keys: ['f'], arguments: ['v'] }), /Function not found/);
  await client.flushDb();
  client.destroy();
}

async function scan(protocol) {
  const client = await connect(protocol);
  const names = Array.from({ length: 500 }, (_, n) => `scan:${n}`).sort();
  await client.mSet(names.map((name) => [name, 'v']));
  await client.hSet('sc:hash', names.map((name) => [name, 'v']));
  await client.sAdd('sc:set', names);
  await client.zAdd('sc:zset', names.map((value) => ({ score: 1.5, value })));
  const all = async (iterator) => {
    const found = new Set();
    for await (const part of iterator) for (const one of part) found.add(typeof one === 'string' ? one : Object.values(one).join());
    return [...found].sort();
  };
  expect(await all(client.scanIterator({ MATCH: 'scan:*', COUNT: 50 })), names);
  expect(await all(client.hScanIterator('sc:hash', { COUNT: 50 })), names.map((name) => `${name},v`));
  expect(await all(client.sScanIterator('sc:set', { MATCH: 'scan:1*' })), names.filter((name) => name.startsWith('scan:1')));
  expect(await all(client.zScanIterator('sc:zset')), names.map((name) => `${name},1.5`));
  client.destroy();
}

async function binary(protocol) {
  const client = await connect(protocol);
  const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const megabyte = Buffer.concat(Array.from({ length: 4096 }, () => EVERY_BYTE));
  expect(await client.set(EVERY_BYTE, megabyte), 'OK');
  expect(await client.strLen(EVERY_BYTE), megabyte.length);
  expect((await buffers.get(EVERY_BYTE)).equals(megabyte), true);
  expect((await buffers.getRange(EVERY_BYTE, -256, -1)).equals(EVERY_BYTE), true);
  client.destroy();
}

async function kill(protocol) {
  const [client, other] = await both(protocol);
  await client.set('kept', 'v');
  const number = await client.clientId();
  const connected = ready(client);
  expect(await other.sendCommand(['CLIENT', 'KILL', 'ID', `${number}`]), 1);
  await connected;
  expect(await client.get('kept'), 'v');
  expect((await client.clientId()) === number, false);
  const { db, name } = await client.clientInfo();
  expect([db, name], [protocol, NAME]);
  client.destroy();
  other.destroy();
}

async function restart(protocol) {
  const client = await connect(protocol);
  await client.set('before', 'v');
  const connected = ready(client);
  await waitForRestart();
  await connected;
  expect(await client.get('before'), 'v');
  const { db, name } = await client.clientInfo();
  expect([db, name], [protocol, NAME]);
  client.destroy();
}

run([handshake, password, pipeline, transaction, watch, multi, pubsub, resubscribe, blocking, scripts, scan, binary, kill, restart]);

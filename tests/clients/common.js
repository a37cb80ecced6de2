// What the scripts of the Node clients have in common: arguments, steps, what is expected.
'use strict';

const assert = require('node:assert/strict');
const readline = require('node:readline');

const PROTOCOLS = [2, 3];
// Round trips after which a request of another connection, sent before, has arrived as well. Were it not so, the step
// would still be right: it would only show less.
const ROUND_TRIPS = 50;

if (process.argv.length !== 4) {
  console.error(`usage: ${process.argv[1]} PORT PASSWORD_PORT (a server that wants the password 'sesame')`);
  process.exit(2);
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Waits for a promise, but not for ever: one that stays open would end the process without a word. */
async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`in vain waited for ${what}`)), 20_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

module.exports = {
  PORT: Number(process.argv[2]),
  PASSWORD_PORT: Number(process.argv[3]),
  PASSWORD: 'sesame',
  NAME: 'matrix',
  // Scripts write where everything is flushed in the end: which keys they change cannot always be known.
  SCRIPTS_DB: 9,
  EVERY_BYTE: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  FUNCTIONS: "#!lua name=matrix\nredis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)",

  within,

  /** Fails unless both are the same. Maps and lists made by a library may have prototypes of its own. */
  expect(found, wanted) {
    assert.deepEqual(JSON.parse(JSON.stringify(found ?? null)), JSON.parse(JSON.stringify(wanted)));
  },

  /** Fails unless the promise fails, with an error that matches. */
  async refused(promise, pattern) {
    const error = await promise.then(
      (reply) => new assert.AssertionError({ message: `no error: ${reply}` }),
      (reason) => reason,
    );
    // An error of a transaction may have the errors of its requests inside.
    const said = [error, ...(error.replies ?? []), ...(error.previousErrors ?? [])].map(String).join('\n');
    if (!pattern.test(said)) throw error;
  },

  /** The reply to what waits until it is served. */
  async served(waiting, client, serve) {
    for (let trip = 0; trip < ROUND_TRIPS; trip += 1) await client.ping();
    await serve();
    return within(waiting, 'the reply to what has been served');
  },

  /** A queue of messages that a listener fills: `next()` waits for one. */
  messages() {
    const come = [];
    let wake = () => {};
    return {
      add(...message) {
        come.push(message);
        wake();
      },
      async next() {
        while (come.length === 0) await within(new Promise((resolve) => { wake = resolve; }), 'a message');
        return come.shift();
      },
      get waiting() {
        return come.length;
      },
    };
  },

  /** Waits until the client says that it is connected, again. An error meanwhile is no end, as it is for `events.once`. */
  ready(client) {
    return within(new Promise((resolve) => { client.once('ready', resolve); }), 'a new connection');
  },

  /** Lets the caller restart what the port belongs to, and waits until it says, with a line, that it has. */
  async waitForRestart() {
    console.log('ready to restart');
    if ((await lines.next()).done) throw new Error('nobody says that there was a restart');
  },

  /** Each step in each protocol, and a line when it is done. The first that fails is the last. */
  async run(steps) {
    for (const protocol of PROTOCOLS) {
      for (const step of steps) {
        try {
          await within(step(protocol), step.name);
        } catch (error) {
          console.error(error, `\nFAILED ${protocol} ${step.name}`);
          process.exit(1);
        }
        console.log(`ok ${protocol} ${step.name}`);
      }
    }
    process.exit(0);
  },
};

/** Child process: the official client as its users run it. Steps come and results go over IPC, one after the other. */
const { Client } = require('@threefold/rmb_direct_client');

/** @type {Client} */
let client;

const call = async ({ command, data, twin, retries }) => {
  try {
    const uid = await client.send(command, data, twin, 1, retries);
    return { value: await client.read(uid) };
  } catch (error) {
    return { error: error.message };
  }
};

const steps = {
  async connect({ chainUrl, relayUrl, secret, keyType, session }) {
    client = new Client(chainUrl, relayUrl, secret, session, keyType, 5);
    await client.connect();
    return [];
  },
  async ask({ calls }) {
    const results = [];
    for (const one of calls) results.push(await call(one));
    return results;
  },
  askAtOnce: ({ calls }) => Promise.all(calls.map(call)),
  async ping() {
    const pong = await client.read(await client.ping());
    return [{ value: pong.constructor.name }];
  },
  /** Until it has noticed that its line is gone. */
  async lost() {
    while (client.con.readyState === client.con.OPEN) await new Promise((resolve) => setTimeout(resolve, 20));
    return [];
  },
};

let last = Promise.resolve();
process.on('message', (step) => {
  last = last.then(async () => {
    try {
      process.send({ results: await steps[step.do](step) });
    } catch (error) {
      process.send({ failure: `${error.name}: ${error.message}` });
    }
  });
});
process.on('disconnect', () => process.exit(0));

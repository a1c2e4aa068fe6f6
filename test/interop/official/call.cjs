/** Child process: the official client as its users run it. Work comes and results go over IPC. */
const { Client } = require('@threefold/rmb_direct_client');

process.once('message', async ({ chainUrl, relayUrl, secret, keyType, session, twin, calls }) => {
  const client = new Client(chainUrl, relayUrl, secret, session, keyType, 5);
  const results = [];
  try {
    await client.connect();
    for (const { command, data } of calls) {
      try {
        const uid = await client.send(command, data, twin, 1, 1);
        results.push({ value: await client.read(uid) });
      } catch (error) {
        results.push({ error: error.message });
      }
    }
    process.send({ results }, () => process.exit(0));
  } catch (error) {
    process.send({ failure: `${error.name}: ${error.message}` }, () => process.exit(1));
  }
});

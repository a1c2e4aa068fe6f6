/**
 * A grid client in one file: connects to a relay and asks a node for its
 * version and its statistics. Run:
 *   KEY_FILE=key.json node examples/ask-node.ts RELAY_URL OWN_TWIN NODE_TWIN TWINS.json
 * TWINS.json lists the two twins as the chain has them: [{"id":1,"account":"<64 hex>"}, …].
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { RmbClient, readKeyFile, type TwinSource } from '../gateway/rmb/index.ts';
import { parseOutput, statisticsGet, systemVersion } from '../schemas/index.ts';

const [relay, own, node, list] = process.argv.slice(2);
const keyFile = process.env.KEY_FILE;
if (relay === undefined || list === undefined || keyFile === undefined) {
  throw new Error('usage: KEY_FILE=key.json node examples/ask-node.ts RELAY_URL OWN_TWIN NODE_TWIN TWINS.json');
}
const known = z
  .array(z.object({ id: z.int(), account: z.string().regex(/^[0-9a-f]{64}$/) }))
  .parse(JSON.parse(readFileSync(list, 'utf8')));
const twins: TwinSource = {
  twin: async (id) => {
    const found = known.find((twin) => twin.id === id);
    if (found === undefined) return undefined;
    return { id, account: Buffer.from(found.account, 'hex'), relay: [], encryptionKey: null };
  },
};

const client = new RmbClient({
  relays: [relay],
  identity: await readKeyFile(keyFile),
  twinId: Number(own),
  session: 'example',
  twins,
});
try {
  await client.connect();
  const ask = (command: string): Promise<Uint8Array> =>
    client.call({ twin: Number(node), command, payload: '', deadlineMs: 20_000 });
  console.log(JSON.stringify(parseOutput(systemVersion, await ask(systemVersion.name))));
  console.log(JSON.stringify(parseOutput(statisticsGet, await ask(statisticsGet.name))));
} finally {
  await client.close();
}

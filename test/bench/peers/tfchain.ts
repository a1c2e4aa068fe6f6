/**
 * The benchmark's twins on a development chain, for peers that ask a chain and
 * not the bus: `node tfchain.ts KEYTYPE RELAYHOST`. `RELAYHOST` is what the Go
 * peer would write as its relay; with it there already it sends no transaction.
 */
import { pino } from 'pino';
import { tfgrid } from '../../../gateway/chain/dev/description/tfgrid.ts';
import { startDevChain } from '../../../gateway/chain/dev/start.ts';
import type { KeyType } from '../../../gateway/rmb/index.ts';
import { CALLERS, DOMAIN, GO, NODE, twinsOf } from './twins.ts';

const [, , keyType, relayHost = ''] = process.argv;
const { twin } = await twinsOf(keyType as KeyType);
const ids = [NODE, GO, ...CALLERS];
const records = await Promise.all(ids.map((id) => twin(id)));
// The Go client refuses a chain whose last block is older than twelve seconds.
const timing = { idleBlockMs: 1000 };
const { url, chain } = await startDevChain({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }), timing });
await chain.asRoot(({ state }) => {
  for (const record of records) {
    if (record === undefined) continue;
    const { id, account, encryptionKey } = record;
    const relay = new TextEncoder().encode(id === GO ? relayHost : DOMAIN);
    state.write(tfgrid.storage.Twins, [id], { id, account_id: account, relay, entities: [], pk: encryptionKey });
    state.write(tfgrid.storage.TwinIdByAccountID, [account], id);
  }
});
process.stdout.write(`${JSON.stringify({ msg: 'ready', url })}\n`);

/** The official chain client from npm, unmodified, on the development chain. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../../modules/host/run.ts';

const HERE = import.meta.dirname;
const MAIN = join(HERE, '../../../gateway/chain/dev/main.ts');
const installed = existsSync(join(HERE, 'node_modules/@threefold/tfchain_client/package.json'));
const HASH = '9021d4dee05a661e2cb6838152c67f25';

let chain: ChildProcess | undefined;
let port = 0;

beforeAll(async () => {
  if (!installed) return;
  const spawned = spawn(process.execPath, [MAIN, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  chain = spawned;
  for await (const line of createInterface({ input: spawned.stdout })) {
    const told = JSON.parse(line) as { msg: string; port?: number };
    if (told.msg !== 'development chain listens') continue;
    port = told.port ?? 0;
    break;
  }
  spawned.stdout.resume();
}, 60_000);

afterAll(async () => {
  if (chain === undefined || chain.exitCode !== null) return;
  chain.kill('SIGTERM');
  await once(chain, 'exit');
});

it.skipIf(!installed)(
  'the official client makes twins, a farm, a node and contracts',
  async () => {
    const script = join(HERE, 'life-cycle.mjs');
    const { stdout } = await run(process.execPath, [script, `ws://127.0.0.1:${port}`], { deadlineMs: 150_000 });
    const line = stdout.split('\n').find((text) => text.startsWith('RESULT ')) ?? '';
    const result = JSON.parse(line.slice('RESULT '.length)) as Record<string, unknown>;
    expect(result).toMatchObject({
      withoutTerms: 'UserDidNotSignTermsAndConditions',
      twin: { id: 1, relay: 'relay.example', entities: [], pk: '0x0211' },
      myTwin: 1,
      twinRead: { id: 1, relay: 'relay.example' },
      farm: { id: 1, name: 'official', twinId: 1, publicIps: [{ ip: '185.206.122.10/24', contractId: 0 }] },
      node: { id: 1, farmId: 1, twinId: 2, resources: { hru: 0, sru: 512, cru: 8, mru: 1024 } },
      contract: { contractId: 1, twinId: 1, state: { created: null } },
      duplicate: 'ContractIsNotUnique',
      contractRead: {
        contractType: { nodeContract: { nodeId: 1, deploymentHash: HASH, deploymentData: '{"v":3}', publicIps: 1 } },
      },
      byHash: 1,
      active: [1],
      updated: { contractId: 1 },
      batch: [{ contractId: 2 }, { contractId: 3 }],
      kv: 'world',
      cancelled: 1,
      gone: null,
    });
    const { compared, differences } = result.lookup as { compared: number; differences: string[] };
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(60);
  },
  180_000,
);

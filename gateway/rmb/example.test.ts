import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { formatOutput, statisticsGet, systemVersion } from '../../schemas/index.ts';
import { World } from '../relay/testing/world.ts';
import { hexOf } from './hex.ts';
import { writeKeyFile } from './identity-source.ts';
import { Identity } from './keys.ts';

let folder: string;
let world: World;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-example-'));
  world = await World.start();
});
afterEach(async () => {
  await world.stop();
  await rm(folder, { recursive: true });
});

it('the example asks a node', async () => {
  const secret = randomBytes(32).toString('hex');
  world.chain.put(7, await Identity.fromSecret(secret, 'sr25519'), { encrypted: false });
  const node = await world.chain.add(17, 'ed25519', { encrypted: false });
  const server = world.client(node);
  const door = world.serve(server, node);
  const capacity = { cru: 1, sru: 2, hru: 3, mru: 4, ipv4u: 5 };
  server.serve(
    door.handler(async ({ command }) => ({
      kind: 'response',
      payload:
        command === systemVersion.name
          ? formatOutput(systemVersion, { zos: '1.2.3', zinit: '4.5.6' })
          : formatOutput(statisticsGet, {
              total: capacity,
              used: capacity,
              system: capacity,
              users: { deployments: 1, workloads: 2, last_deployment_timestamp: 0 },
              open_connections: 3,
            }),
    })),
  );
  await server.connect();
  const keyFile = join(folder, 'key.json');
  await writeKeyFile(keyFile, { keyType: 'sr25519', secret });
  const twins = [...world.chain.records.values()].map(({ id, account }) => ({ id, account: hexOf(account) }));
  await writeFile(join(folder, 'twins.json'), JSON.stringify(twins));
  const example = join(import.meta.dirname, '../../examples/ask-node.ts');
  const { stdout } = await run(process.execPath, [example, world.url, '7', '17', join(folder, 'twins.json')], {
    env: { ...process.env, KEY_FILE: keyFile },
    deadlineMs: 60_000,
  });
  expect(stdout).toContain('"zos":"1.2.3"');
}, 120_000);

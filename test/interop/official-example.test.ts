/** The example of the official TypeScript client's classes, on a simulated node. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedNode, SimulatedTenant } from '../system/simulated-node.ts';
import { hasGridClient } from './grid-client.ts';

const run = promisify(execFile);
const example = join(import.meta.dirname, '../../examples/clients/official-typescript/deploy.cjs');
/** Where the official packages are installed. */
const packages = join(import.meta.dirname, 'grid-client/node_modules');

describe.skipIf(!hasGridClient)('the example of the official classes', () => {
  const node = new SimulatedNode();
  beforeAll(async () => {
    await node.up();
  }, 180_000);
  afterAll(() => node.remove(), 60_000);

  it('hashes as the node does, deploys and cancels', { timeout: 150_000 }, async () => {
    const env = { ...process.env, NODE_PATH: packages };
    const { stdout } = await run(process.execPath, [example, join(node.state, 'client.json')], {
      env,
      timeout: 120_000,
    });
    const line = stdout.split('\n').find((one) => one.startsWith('RESULT ')) ?? 'RESULT {}';
    expect(JSON.parse(line.slice(7))).toEqual({
      hash: expect.stringMatching(/^[0-9a-f]{32}$/),
      contractId: expect.any(Number),
      states: { net1: 'ok', disk1: 'ok', vm1: 'ok' },
    });
    const tenant = await SimulatedTenant.open(node);
    try {
      expect(await tenant.chain.activeContracts(node.facts.node.id)).toEqual([]);
    } finally {
      await tenant.close();
    }
  });
});

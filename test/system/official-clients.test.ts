import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bip39Generate, waitReady } from '@polkadot/wasm-crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyPath } from '../../cli/node/keys.ts';
import { httpPort } from '../../cli/node/ports.ts';
import { ChainClient } from '../../gateway/chain/client.ts';
import { Identity, type KeyType } from '../../gateway/rmb/index.ts';
import { hasOfficialClient, OfficialClient, startTls } from '../interop/official-client.ts';
import { commandLines, Needle } from './secrets.ts';
import { Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

describe.skipIf(!isRoot || !hasOfficialClient)('the official RMB client and a whole node', () => {
  let node: TestNode;
  let tls: Awaited<ReturnType<typeof startTls>>;

  beforeAll(async () => {
    node = await startTestNode({ logLevel: 'trace' });
    const { hostAddress, relay } = node.config;
    const { hostname, port } = new URL(relay[0] ?? '');
    // The client writes the host of its relay's URL to the chain, without a port.
    tls = await startTls(node.layout.state, {
      host: hostAddress,
      address: hostAddress,
      target: { host: hostname, port: Number(port) },
    });
    await waitReady();
  }, 180_000);

  afterAll(async () => {
    tls?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /** A twin that nobody has met; its secret in the form the client takes. */
  const newcomer = async (keyType: KeyType): Promise<string> => {
    const secret = keyType === 'sr25519' ? bip39Generate(12) : `0x${randomBytes(32).toString('hex')}`;
    const identity = await Identity.fromSecret(secret, keyType);
    const chain = await ChainClient.connect({ endpoints: node.config.chain, identity });
    try {
      await chain.endow();
      // No key yet: the client stores its own when it connects.
      await chain.ensureTwin({ relay: node.config.hostAddress, encryptionKey: null });
    } finally {
      await chain.close();
    }
    return secret;
  };

  it.each(['ed25519', 'sr25519'] as const)('with an %s key', { timeout: 180_000 }, async (keyType) => {
    const client = await OfficialClient.open(tls.certificate, {
      chainUrl: node.config.chain[0] ?? '',
      relayUrl: `wss://${node.config.hostAddress}`,
      secret: await newcomer(keyType),
      keyType,
      session: `official-${keyType}`,
    });
    try {
      const twin = node.registration.twins.node;
      const results = await client.askAtOnce([
        { command: 'zos.system.version', data: '', twin },
        { command: 'zos.statistics.get', data: '', twin },
        { command: 'zos.deployment.list', data: '', twin },
        { command: 'zos.deployment.get', data: JSON.stringify({ contract_id: 5 }), twin },
      ]);
      const { total } = await (await Tenant.open(node)).capacity();
      const version = { value: { zos: expect.stringMatching(/^\d+\.\d+\.\d+/), zinit: expect.any(String) } };
      expect(results).toEqual([
        version,
        {
          value: expect.objectContaining({
            total: expect.objectContaining({ sru: total.sru, mru: total.mru, hru: 0 }),
            used: expect.objectContaining({ cru: expect.any(Number) }),
            users: expect.objectContaining({ deployments: 0, workloads: 0 }),
          }),
        },
        { value: [] },
        { error: expect.stringContaining('deployment not found') },
      ]);
      const many = Array.from({ length: 200 }, () => ({ command: 'zos.system.version', data: 'null', twin }));
      expect(await client.askAtOnce(many)).toEqual(many.map(() => version));
    } finally {
      client.close();
    }
  });

  it('whose twin on the chain names its relay and has its key', { timeout: 60_000 }, async () => {
    const page = `http://${node.config.address}:${httpPort}`;
    const health = async (): Promise<unknown> => (await fetch(`${page}/health`)).json();
    await expect.poll(health, { timeout: 20_000 }).toEqual({ healthy: true });
    expect(await (await fetch(`${page}/metrics`)).text()).toMatch(/^gateway_twin_differences 0$/m);
  });

  it('and no secret of its people is in a log, in another file or in a command line', { timeout: 60_000 }, async () => {
    const keys = await Promise.all(
      (['node', 'farmer', 'user'] as const).map(async (name) => {
        const { secret } = JSON.parse(await readFile(keyPath(node.layout, name), 'utf8')) as { secret: string };
        return { path: keyPath(node.layout, name), needle: new Needle([secret], [Buffer.from(secret, 'hex')]) };
      }),
    );
    const log = await readFile(join(node.layout.state, 'log', 'gateway.log'), 'utf8');
    expect(log.includes('"command":"zos.system.version"')).toBe(true);
    const lines = [...commandLines().values()];
    expect(lines.length).toBeGreaterThan(5);
    for (const { path, needle } of keys) {
      expect(await needle.filesIn(node.layout.state)).toEqual([path]);
      expect(lines.filter((line) => needle.isIn(line))).toEqual([]);
    }
  });
});

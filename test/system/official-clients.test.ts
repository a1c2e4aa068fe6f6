import { randomBytes } from 'node:crypto';
import { bip39Generate, waitReady } from '@polkadot/wasm-crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChainClient } from '../../gateway/chain/client.ts';
import { Identity, type KeyType } from '../../gateway/rmb/index.ts';
import { callOfficial, hasOfficialClient, startTls } from '../interop/official-client.ts';
import { Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

describe.skipIf(!isRoot || !hasOfficialClient)('the official RMB client and a whole node', () => {
  let node: TestNode;
  let tls: Awaited<ReturnType<typeof startTls>>;

  beforeAll(async () => {
    node = await startTestNode();
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
    const { results, failure } = await callOfficial(tls.certificate, {
      chainUrl: node.config.chain[0] ?? '',
      relayUrl: `wss://${node.config.hostAddress}`,
      secret: await newcomer(keyType),
      keyType,
      session: `official-${keyType}`,
      twin: node.registration.twins.node,
      calls: [
        { command: 'zos.system.version', data: '' },
        { command: 'zos.statistics.get', data: '' },
        { command: 'zos.deployment.list', data: '' },
        { command: 'zos.deployment.get', data: JSON.stringify({ contract_id: 5 }) },
      ],
    });
    expect(failure).toBeUndefined();
    const { total } = await (await Tenant.open(node)).capacity();
    expect(results).toEqual([
      { value: { zos: expect.stringMatching(/^\d+\.\d+\.\d+/), zinit: expect.any(String) } },
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
  });
});

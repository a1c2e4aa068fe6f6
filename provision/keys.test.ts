import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { getPublicKey, secretFromSeed, sign } from '@scure/sr25519';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { signedMessage } from '../schemas/challenge.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { parseDeployment } from '../schemas/deployment.ts';
import { verifySignatures } from '../schemas/signatures.ts';
import { TwinKeys, verifySignature } from './keys.ts';
import { TestHost } from './testing/host.ts';
import { networkWorkload, Tenant } from './testing/tenant.ts';
import { deploymentFromStruct, deploymentToStruct } from './wire.ts';

const secret = secretFromSeed(new Uint8Array(32).fill(0x11));
const publicKey = getPublicKey(secret);

describe('signatures', () => {
  const message = Buffer.from('0123456789abcdef');

  it('of sr25519 are those of another implementation', async () => {
    const signature = sign(secret, message);
    expect(await verifySignature('sr25519', message, signature, publicKey)).toBe(true);
    expect(await verifySignature('ed25519', message, signature, publicKey)).toBe(false);
    signature[3] = (signature[3] ?? 0) ^ 1;
    expect(await verifySignature('sr25519', message, signature, publicKey)).toBe(false);
  });

  it('of a wrong length, or with a key that is none, are wrong and no crash', async () => {
    expect(await verifySignature('ed25519', message, new Uint8Array(63), publicKey)).toBe(false);
    expect(await verifySignature('ed25519', message, new Uint8Array(64), new Uint8Array(31))).toBe(false);
    expect(await verifySignature('ed25519', message, new Uint8Array(64), new Uint8Array(32).fill(0xff))).toBe(false);
    expect(await verifySignature('sr25519', message, new Uint8Array(64), new Uint8Array(32).fill(0xff))).toBe(false);
  });
});

describe('keys of twins', () => {
  let host: TestHost;
  beforeEach(() => {
    host = new TestHost('/nowhere');
  });
  afterEach(() => vi.restoreAllMocks());
  const reads = (): number => host.calls.filter((call) => call.method === 'Twin').length;
  /** The clock stands, and is so much later from now on. */
  const later = (ms: number): void => {
    const now = performance.now() + ms;
    vi.spyOn(performance, 'now').mockReturnValue(now);
  };

  it('W27: are kept, and read again when a twin signs with another one', async () => {
    const before = new Tenant(7);
    const after = new Tenant(7);
    host.twins.set(7, before.publicKey);
    later(0);
    const keys = new TwinKeys(host.chainClient);
    const verify = (deployment: Deployment): Promise<unknown> =>
      verifySignatures(deployment, keys.verifier({ deadlineMs: 1_000 }));
    await verify(before.deployment(1n, [networkWorkload('n')]));
    await verify(before.deployment(2n, [networkWorkload('n')]));
    expect(reads()).toBe(1);
    host.twins.set(7, after.publicKey);
    // A wrong signature makes nobody ask the chain more than once a second.
    await expect(verify(after.deployment(3n, [networkWorkload('n')]))).rejects.toThrow(/^failed to verify signature/);
    expect(reads()).toBe(1);
    later(1_100);
    await verify(after.deployment(3n, [networkWorkload('n')]));
    expect(reads()).toBe(2);
    await expect(verify(before.deployment(4n, [networkWorkload('n')]))).rejects.toThrow(/^failed to verify signature/);
    keys.forget(7);
    await verify(after.deployment(5n, [networkWorkload('n')]));
    expect(reads()).toBe(3);
  });

  it('are asked for once by many at a time, and not kept when the twin changed meanwhile', async () => {
    const [before, after] = [new Tenant(7), new Tenant(7)];
    host.twins.set(7, before.publicKey);
    const keys = new TwinKeys(host.chainClient);
    const verify = (deployment: Deployment): Promise<unknown> =>
      verifySignatures(deployment, keys.verifier({ deadlineMs: 1_000 }));
    await Promise.all([1n, 2n, 3n].map((id) => verify(before.deployment(id, [networkWorkload('n')]))));
    expect(reads()).toBe(1);
    keys.forgetAll();
    host.hook = ({ method }, when) => {
      if (method === 'Twin' && when === 'after') keys.forget(7);
    };
    await verify(before.deployment(4n, [networkWorkload('n')]));
    host.hook = () => {};
    host.twins.set(7, after.publicKey);
    await verify(after.deployment(5n, [networkWorkload('n')]));
    expect(reads()).toBe(3);
  });

  it('that were told from memory are asked for again soon', async () => {
    const [before, after] = [new Tenant(7), new Tenant(7)];
    host.twins.set(7, before.publicKey);
    const { chainClient } = host;
    const remembered = new Proxy(chainClient, {
      get: (target, name) =>
        name === 'Twin'
          ? async (args: { id: number }) => ({ ...(await target.Twin(args)), AgeSeconds: 60 })
          : Reflect.get(target, name),
    });
    const keys = new TwinKeys(remembered);
    const verify = (deployment: Deployment): Promise<unknown> =>
      verifySignatures(deployment, keys.verifier({ deadlineMs: 1_000 }));
    await verify(before.deployment(1n, [networkWorkload('n')]));
    host.twins.set(7, after.publicKey);
    later(5_100);
    // The keys' own look at the clock is kept for a millisecond.
    await sleep(20);
    await expect(verify(before.deployment(2n, [networkWorkload('n')]))).rejects.toThrow(/^failed to verify signature/);
    expect(reads()).toBe(2);
  });
});

describe('deployments on the bus', () => {
  const path = join(fileURLToPath(new URL('..', import.meta.url)), 'test', 'vectors', 'deployment.json');
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as { vectors?: unknown; cases?: unknown };

  it('keep every byte of the signed document both ways', () => {
    const list = Object.values(vectors).find(
      (value) => Array.isArray(value) && typeof value[0] === 'object' && value[0] !== null && 'deployment' in value[0],
    ) as Array<{ deployment: unknown }>;
    expect(list.length).toBeGreaterThan(10);
    for (const { deployment } of list) {
      const parsed = parseDeployment(JSON.stringify(deployment), { results: 'keep' });
      const back = deploymentFromStruct(deploymentToStruct(parsed), { results: 'keep' });
      expect(back).toEqual(parsed);
      expect(
        deploymentFromStruct(deploymentToStruct(parsed), { results: 'drop' }).workloads.every(
          (one) => one.result.state === '',
        ),
      ).toBe(true);
    }
  });

  it('sign the same message after the bus', () => {
    const deployment = new Tenant(7).deployment(1n, [networkWorkload('n')]);
    const back = deploymentFromStruct(deploymentToStruct(deployment), { results: 'drop' });
    expect(signedMessage(back)).toEqual(signedMessage(deployment));
  });
});

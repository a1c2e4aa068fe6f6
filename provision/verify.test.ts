import { beforeEach, describe, expect, it } from 'vitest';
import { deploymentHash, type Formula } from '../schemas/challenge.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { TwinKeys } from './keys.ts';
import { TestHost } from './testing/host.ts';
import { networkWorkload, Tenant } from './testing/tenant.ts';
import { Verifier } from './verify.ts';

const { signal } = new AbortController();

let host: TestHost;
let tenant: Tenant;
let verifier: Verifier;
/** Waits for a contract for longer. */
let patient: Verifier;

beforeEach(() => {
  host = new TestHost('/nowhere');
  tenant = new Tenant(7);
  const chain = host.chainClient;
  const keys = new TwinKeys(chain);
  const given = { chain, keys, types: ['network', 'network-light'] };
  verifier = new Verifier({ ...given, contractWaitMs: 2_000 });
  patient = new Verifier({ ...given, contractWaitMs: 20_000 });
});

/** A light network with WireGuard, whose formula changed. */
function light(formula: Formula): Deployment {
  const network = networkWorkload('net1', 4100);
  const mycelium = { hex_key: 'ab'.repeat(32), peers: [] };
  const data = JSON.stringify({ ...JSON.parse(network.data), mycelium });
  return tenant.contracted(host, 1n, [{ ...network, type: 'network-light', data }], formula);
}

describe('a contract', () => {
  it.each(['current', 'before-wireguard'] as const)(
    'may carry the hash by the formula %s, which is told',
    async (formula) => {
      const deployment = light(formula);
      expect(await verifier.document(deployment, 7, signal)).toBe(formula);
      expect(await verifier.contract(deployment, signal)).toMatchObject({
        formula,
        facts: { DeploymentHash: deploymentHash(deployment, formula) },
      });
    },
  );

  it('has its hash from the beginning, and is waited for after an update', async () => {
    const deployment = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    const update = tenant.deployment(1n, [networkWorkload('net1')], 1);
    await expect(verifier.contract(update, signal)).rejects.toMatchObject({ code: 'contract_hash' });
    const waiting = patient.contract(update, signal, true);
    setTimeout(() => host.rehash(update), 300);
    expect((await waiting).formula).toBe('current');
    await expect(verifier.contract(deployment, signal, true)).rejects.toMatchObject({
      code: 'contract_hash',
      details: {
        ...{ expected: deploymentHash(deployment), actual: deploymentHash(update) },
        ...{ block: expect.any(Number), waitedMs: expect.any(Number), mayChange: true },
      },
    });
  });

  it('0, which the client forgot to name, is not waited for', async () => {
    const deployment = tenant.deployment(0n, [networkWorkload('net1')]);
    await expect(patient.contract(deployment, signal)).rejects.toMatchObject({
      code: 'contract_unknown',
      details: { contract: '0', waitedMs: expect.toSatisfy((waited: number) => waited < 10_000) },
    });
  });

  it('W21: that was there and is gone is not waited for', async () => {
    const deployment = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    const facts = host.contracts.get(1n);
    if (facts === undefined) throw new Error('the contract is there');
    host.contracts.set(1n, { ...facts, Found: false, State: 'deleted' });
    await expect(patient.contract(deployment, signal)).rejects.toMatchObject({
      code: 'contract_unknown',
      details: { waitedMs: expect.toSatisfy((waited: number) => waited < 10_000), block: expect.any(Number) },
    });
    for (const State of ['grace', 'deleted', 'ending']) {
      host.contracts.set(1n, { ...facts, State });
      await expect(verifier.contract(deployment, signal)).rejects.toMatchObject({
        code: 'contract_state',
        details: { state: State },
      });
    }
  });

  it('W21: that comes in a later block is waited for, and the answer says at which block none was', async () => {
    const deployment = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    const facts = host.contracts.get(1n);
    host.contracts.delete(1n);
    const waiting = patient.contract(deployment, signal);
    setTimeout(() => facts && host.contracts.set(1n, facts), 300);
    expect((await waiting).facts.Found).toBe(true);
    host.contracts.delete(1n);
    await expect(verifier.contract(deployment, signal)).rejects.toMatchObject({
      code: 'contract_unknown',
      message: expect.stringMatching(/^failed to get deployment contract: .* up to block \d+/),
    });
  });

  it('W27: two of three signers are enough where two are asked for', async () => {
    const second = new Tenant(8);
    host.twins.set(7, tenant.publicKey);
    host.twins.set(8, second.publicKey);
    const asked = tenant.deployment(1n, [networkWorkload('net1')]);
    const { signature_requirement: requirement } = asked;
    for (const twin_id of [8, 9]) requirement.requests.push({ twin_id, required: false, weight: 1 });
    requirement.weight_required = 2;
    const signatures = [tenant, second].map((signer) => signer.signature(asked));
    const signed = (by: typeof signatures): Deployment => ({
      ...asked,
      signature_requirement: { ...requirement, signatures: by },
    });
    expect(await verifier.document(signed(signatures), 7, signal)).toBe('current');
    await expect(verifier.document(signed(signatures.slice(0, 1)), 7, signal)).rejects.toMatchObject({
      code: 'signature_weight',
    });
  });
});

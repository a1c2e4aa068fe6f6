import { describe, expect, it } from 'vitest';
import { provision } from './interface.ts';
import { fullDeployment } from './testing/provisiond.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { networkWorkload, Tenant } from './testing/tenant.ts';

standForEachTest();

describe('provisiond and the chain', () => {
  it('refuses what the chain or the signatures do not cover', async () => {
    await stand.startHere();
    const good = tenant.contracted(host, 1n, fullDeployment());
    const facts = host.contracts.get(1n);
    if (facts === undefined) throw new Error('the contract is there');
    const with_ = async (change: Partial<typeof facts>) => {
      host.contracts.set(1n, { ...facts, ...change });
      return stand.refused(good);
    };
    expect(await with_({ DeploymentHash: 'f'.repeat(32) })).toMatchObject({
      code: 'contract_hash',
      message: expect.stringMatching(/^contract hash does not match deployment hash/),
      details: { actual: 'f'.repeat(32), expected: facts.DeploymentHash },
    });
    expect((await with_({ TwinID: 9 })).code).toBe('contract_twin');
    expect((await with_({ NodeID: 12 })).message).toMatch(/^invalid node address in contract/);
    expect((await with_({ State: 'deleted' })).code).toBe('contract_state');
    expect((await with_({ Kind: 'name' })).message).toMatch(/^invalid contract type, expecting node contract/);
    expect((await with_({ RentedBy: 5 })).code).toBe('contract_rented');
    expect((await with_({ Found: false })).message).toMatch(
      /^failed to get deployment contract: .* is not on the chain/,
    );
    host.contracts.set(1n, facts);

    expect((await stand.refused(good, 9)).message).toBe('twin id mismatch (deployment: 7, message: 9)');
    const unsigned = structuredClone(good);
    unsigned.signature_requirement.signatures = [];
    expect((await stand.refused(unsigned)).message).toMatch(/^missing required signature for twin '7'/);
    const tampered = structuredClone(good);
    tampered.metadata = 'other';
    expect((await stand.refused(tampered)).message).toMatch(/^failed to verify signature/);
    host.twins.delete(7);
    const stranger = new Tenant(70);
    host.contracts.set(2n, { ...facts, ContractID: 2n });
    expect((await stand.refused(stranger.deployment(2n, fullDeployment()), 70)).message).toMatch(
      /^failed to get public key for twin '70': the chain has no such twin(;|$)/,
    );
    const later = structuredClone(good);
    later.version = 1;
    expect((await stand.refused(later)).code).toBeDefined();
  });

  it('believes no old key after the bus was away, and hears of a contract that ended meanwhile', async () => {
    const daemon = await stand.startHere();
    await stand.deploy(tenant.contracted(host, 1n, [networkWorkload('net1')]));
    await stand.running();
    host.tell('alive');
    await new Promise((resolve) => setTimeout(resolve, 200));
    host.twins.set(7, new Tenant(7).publicKey);
    // Both were told while nobody could hear.
    host.cancelContract(1n, true);
    host.tell('alive');
    await expect.poll(() => daemon.journal.deployments()).toEqual([]);
    const publicKey = host.twins.get(7) ?? new Uint8Array();
    const old = tenant.contracted(host, 2n, [networkWorkload('net1')]);
    host.twins.set(7, publicKey);
    expect((await stand.refused(old)).message).toMatch(/^failed to verify signature/);
  });

  it('tells the chain what runs, again until it is heard, and nothing twice', async () => {
    await stand.startHere();
    let failures = 2;
    host.hook = ({ method }) => {
      if (method === 'SetContractConsumption' && failures-- > 0) throw new Error('the chain is away');
    };
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    const MIB = 1024n ** 2n;
    const all = { HRU: 0n, SRU: 1024n * MIB + 500n * MIB, CRU: 1n, MRU: 512n * MIB };
    await expect.poll(() => host.consumption.get(1n)).toEqual(all);
    expect(failures).toBeLessThan(0);
    await bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'too many crashes' });
    const left = { HRU: 0n, SRU: 1024n * MIB, CRU: 0n, MRU: 0n };
    await expect.poll(() => host.consumption.get(1n)).toEqual(left);
    const reports = (): number => host.calls.filter((call) => call.method === 'SetContractConsumption').length;
    const before = reports();
    await bus.of(provision).DecommissionCached({ id: '7-1-vm1', reason: 'again' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(reports()).toBe(before);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHub, packSite } from './hub.ts';
import { pidsOf } from './kill.ts';
import { machinePage } from './page.ts';
import { expectUnchanged, standingOf } from './standing.ts';
import { machineAddress, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

describe.skipIf(!isRoot)('two nodes on one machine', () => {
  const greetings = ['the first node', 'the second node'] as const;
  let nodes: TestNode[] = [];
  let users: Tenant[] = [];

  beforeAll(async () => {
    const started = await Promise.allSettled(greetings.map(() => startTestNode()));
    nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    for (const one of started) if (one.status === 'rejected') throw one.reason;
    users = await Promise.all(nodes.map((node) => Tenant.open(node)));
    await Promise.all(users.map((user) => user.answered()));
  }, 300_000);

  afterAll(async () => {
    for (const node of nodes) expect(await node.stop()).toEqual([]);
  }, 180_000);

  const pageOf = (user: Tenant): Promise<string> =>
    machinePage(user.node, { twin: user.twin, network: 'vnet', address: machineAddress(1) });

  it('run the same names for the same twins, each its own', { timeout: 300_000 }, async () => {
    expect(nodes[0]?.registration).toEqual(nodes[1]?.registration);
    await Promise.all(
      users.map(async (user, index) => {
        const hub = await openHub(user.node);
        try {
          const contract = await user.deploy(siteWorkloads('v', 1, await packSite(hub), greetings[index] ?? ''));
          expect(contract).toBe(1n);
          const states = [...(await user.settled(contract)).values()].map(({ state }) => state);
          expect(states).toEqual(['ok', 'ok', 'ok']);
        } finally {
          await hub.close();
        }
      }),
    );
    const pages = await Promise.all(users.map(pageOf));
    for (const [index, greeting] of greetings.entries()) expect(pages[index]).toContain(`<h1>${greeting}</h1>`);
  });

  it('the purge of one leaves the other as it is', { timeout: 300_000 }, async () => {
    const [first, second] = users;
    if (first === undefined || second === undefined) throw new Error('the nodes did not start');
    const machines = await pidsOf(second.node.layout, /^(qemu-system|virtiofsd|wireguard-go)/);
    const before = await standingOf(second);
    nodes = nodes.slice(1);
    expect(await first.node.stop()).toEqual([]);
    expect(await pageOf(second)).toContain(`<h1>${greetings[1]}</h1>`);
    expect(await pidsOf(second.node.layout, /^(qemu-system|virtiofsd|wireguard-go)/)).toEqual(machines);
    await expectUnchanged(second, before);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DemoPlan, planDemo } from '../../cli/demo/deployment.ts';
import { UserNetwork } from '../../cli/demo/user-network.ts';
import { RmbError } from '../../gateway/rmb/index.ts';
import { deploymentDeploy, MiB } from '../../schemas/index.ts';
import { differenceTo, restingHoldings } from './holdings.ts';
import { type Hub, openHub, packSite } from './hub.ts';
import { flushBus, killUnit, pidsOf, untilBack } from './kill.ts';
import { type Standing, standingOf } from './standing.ts';
import { siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const PAGE_DEADLINE_MS = 120_000;

describe.skipIf(!isRoot)('processes killed while a machine runs', () => {
  let node: TestNode;
  let hub: Hub;
  let user: Tenant;
  let flist: string;
  let network: UserNetwork;
  let plan: DemoPlan;
  let contract: bigint;
  let empty: Standing;
  let running: { readonly holdings: readonly string[]; readonly capacity: Standing['capacity'] };

  beforeAll(async () => {
    node = await startTestNode();
    hub = await openHub(node);
    user = await Tenant.open(node);
    flist = await packSite(hub);
    await user.answered();
    empty = await standingOf(user);
    const wish = { twinId: user.twin, flist, greeting: 'alive', networkName: 'net' };
    plan = planDemo({ ...wish, diskSize: 128 * MiB, memory: 256 * MiB }, user.identity);
    const { nodeId } = node.registration;
    contract = await user.chain.createNodeContract({ nodeId, hash: plan.hash, data: '', publicIps: 0 });
    await user.peer.callNode(deploymentDeploy.name, plan.json(contract), 30_000);
    await user.settled(contract);
    network = new UserNetwork(node.layout);
    await network.join(plan, node.config.address);
    await page();
    running = { capacity: await user.capacity(), holdings: await restingHoldings(node.layout) };
  }, 300_000);

  afterAll(async () => {
    await network?.leave();
    await hub?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /** The page as the user gets it, through WireGuard. */
  const page = async (): Promise<void> => {
    const signal = AbortSignal.timeout(PAGE_DEADLINE_MS);
    expect(await network.fetchPage(plan.machineAddress, PAGE_DEADLINE_MS, signal)).toContain('<h1>alive</h1>');
  };
  const machine = () => pidsOf(node.layout, /^qemu-system/);

  /** The machine that ran runs on, nothing came or went, and no client was told anything new. */
  const expectUndisturbed = async (): Promise<void> => {
    await page();
    expect(await differenceTo(running.holdings, node.layout)).toEqual({ more: [], less: [] });
    // Who was killed may still be starting.
    await expect.poll(() => user.capacity(), { timeout: 60_000 }).toEqual(running.capacity);
    const states = (await user.changes(contract)).map(([name, state]) => `${name} ${state}`);
    expect(states.filter((one) => !one.endsWith(' init')).sort()).toEqual(['disk ok', 'net ok', 'vm ok']);
  };

  it.each(['redis', 'chain', 'chaind', 'relay', 'storaged', 'networkd', 'flistd', 'vmd', 'provisiond', 'gateway'])(
    '%s',
    { timeout: 180_000 },
    async (unit) => {
      const [before, { pid }] = [await machine(), await node.zinit.status(unit)];
      await killUnit(node, unit);
      // Whoever is dead, the machine is not.
      await page();
      await untilBack(node, unit, pid);
      expect(await user.answered()).toBeLessThan(20_000);
      await expectUndisturbed();
      expect(await machine()).toEqual(before);
    },
  );

  it('all of them at once', { timeout: 240_000 }, async () => {
    const before = await machine();
    const units = await node.zinit.list();
    await Promise.all(units.map(({ name }) => killUnit(node, name)));
    await Promise.all(units.map(({ name, pid }) => untilBack(node, name, pid)));
    await user.answered();
    await expectUndisturbed();
    expect(await machine()).toEqual(before);
  });

  it('a bus that is emptied', { timeout: 180_000 }, async () => {
    const before = await machine();
    await flushBus(node.layout);
    expect(await user.answered()).toBeLessThan(20_000);
    await expectUndisturbed();
    expect(await machine()).toEqual(before);
    const deployment = user.sign(siteWorkloads('b', 2, flist));
    const second = await user.contractFor(deployment);
    // The first call that lasts after the loss may be told that it was lost, too; what it asked for is done.
    await user.send(deployment, second).catch((error: unknown) => {
      if (!(error instanceof RmbError)) throw error;
    });
    expect([...(await user.settled(second)).values()].map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
    await user.cancel(second);
    await expectUndisturbed();
  });

  it.each([
    ['the machine’s QEMU', /^qemu-system/, 90_000],
    ['the machine’s file server', /^virtiofsd/, 90_000],
    // It is looked after every 1.5 s; the rest is a busy machine's.
    ['the network’s WireGuard', /^wireguard-go/, 30_000],
  ] as const)('%s is started again', { timeout: 240_000 }, async (_what, program, deadlineMs) => {
    const before = await pidsOf(node.layout, program);
    expect(before.length).toBeGreaterThan(0);
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await expect
      .poll(async () => (await pidsOf(node.layout, program)).filter((pid) => !before.includes(pid)).length, {
        timeout: deadlineMs,
      })
      .toBe(before.length);
    await expectUndisturbed();
  });

  it('and after all that the contract’s end leaves nothing', { timeout: 180_000 }, async () => {
    await network.leave();
    await user.cancel(contract);
    expect(await differenceTo(empty.holdings, node.layout)).toEqual({ more: [], less: [] });
    await expect.poll(() => user.capacity()).toEqual(empty.capacity);
  });
});

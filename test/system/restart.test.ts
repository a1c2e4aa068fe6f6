import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stopNode, supervisorOf } from '../../cli/node/lifecycle.ts';
import { startNode } from '../../cli/node/start.ts';
import { differenceTo } from './holdings.ts';
import { openHub, packSite } from './hub.ts';
import { pidsOf } from './kill.ts';
import { machinePage } from './page.ts';
import { type Standing, standingOf } from './standing.ts';
import { machineAddress, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

describe.skipIf(!isRoot)('a node that is stopped and started again', () => {
  let node: TestNode;
  let user: Tenant;
  let contract: bigint;
  let empty: Standing;
  let capacity: Standing['capacity'];

  beforeAll(async () => {
    node = await startTestNode();
    const hub = await openHub(node);
    user = await Tenant.open(node);
    await user.answered();
    empty = await standingOf(user);
    contract = await user.deploy(siteWorkloads('v', 1, await packSite(hub), 'back again'));
    await user.settled(contract);
    await expectPage();
    capacity = await user.capacity();
    // From now on the image cannot be fetched.
    await hub.close();
  }, 300_000);

  afterAll(async () => {
    if (node === undefined) return;
    // A purge must find everything without a supervisor, too.
    const supervisor = await supervisorOf(node.layout);
    if (supervisor !== undefined) process.kill(supervisor.pid, 'SIGKILL');
    expect(await node.stop()).toEqual([]);
  }, 120_000);

  const killSupervisor = (supervisor: Awaited<ReturnType<typeof supervisorOf>>): void => {
    if (supervisor === undefined) throw new Error('the node has no supervisor');
    process.kill(supervisor.pid, 'SIGKILL');
  };
  const expectPage = async (): Promise<void> => {
    const place = { twin: user.twin, network: 'vnet', address: machineAddress(1) };
    const page = await machinePage(node, place);
    expect(page).toContain('<h1>back again</h1>');
    expect(page).toContain('holds: written by the machine');
  };
  const machines = () => pidsOf(node.layout, /^(qemu-system|virtiofsd)/);
  const up = async (): Promise<void> => {
    await startNode(node.layout, undefined, (_stage, work) => work(() => undefined), AbortSignal.timeout(120_000));
  };
  /** The machine serves its page, and its client was told nothing but that it runs. */
  const expectBack = async (): Promise<void> => {
    await user.answered();
    await expectPage();
    await expect.poll(() => user.capacity()).toEqual(capacity);
    const changes = (await user.changes(contract)).filter(([, state]) => state !== 'init');
    expect(changes.map(([name, state]) => `${name} ${state}`).sort()).toEqual(['vdisk ok', 'vnet ok', 'vvm ok']);
  };

  it('comes back with its machine after it was stopped', { timeout: 300_000 }, async () => {
    await stopNode(node.layout, { purge: false });
    expect(await supervisorOf(node.layout)).toBeUndefined();
    await up();
    await expectBack();
  });

  it('comes back with its machine after its supervisor was killed', { timeout: 300_000 }, async () => {
    const before = await machines();
    const supervisor = await supervisorOf(node.layout);
    killSupervisor(supervisor);
    await expect.poll(() => supervisorOf(node.layout), { timeout: 20_000 }).toBeUndefined();
    await up();
    await expectBack();
    // No second machine beside one of before.
    expect((await machines()).length).toBe(before.length);
  });

  it('comes back when everything of it was killed at once', { timeout: 300_000 }, async () => {
    const supervisor = await supervisorOf(node.layout);
    const [units, processes] = [await node.zinit.list(), await machines()];
    killSupervisor(supervisor);
    for (const { pid } of units) if (pid !== undefined) process.kill(pid, 'SIGKILL');
    for (const pid of processes) process.kill(pid, 'SIGKILL');
    await up();
    await expectBack();
  });

  it('and the end of the contract leaves nothing', { timeout: 180_000 }, async () => {
    await user.cancel(contract);
    expect(await differenceTo(empty.holdings, node.layout)).toEqual({ more: [], less: [] });
    await expect.poll(() => user.capacity()).toEqual(empty.capacity);
  });
});

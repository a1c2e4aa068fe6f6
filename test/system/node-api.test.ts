import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Command,
  capacityGet,
  debugDeploymentGet,
  debugDeploymentHealth,
  debugDeploymentHistory,
  debugDeploymentInfo,
  debugDeploymentList,
  deploymentPlan,
  deploymentWait,
  formatDeployment,
  GiB,
  limitsGet,
  parseOutput,
  statisticsGet,
} from '../../schemas/index.ts';
import { type Hub, openHub, packSite } from './hub.ts';
import { pidsOf } from './kill.ts';
import { expectUnchanged, type Standing, standingOf } from './standing.ts';
import { diskWorkload, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const DEADLINE_MS = 70_000;
/** A development chain makes its twins in this order: farmer, node, user. */
const FARMER = 1;

describe.skipIf(!isRoot)("a node's own additions to the grid's commands, over RMB", () => {
  let node: TestNode;
  let hub: Hub;
  let user: Tenant;
  let admin: Tenant;
  let site: string;
  let empty: Standing;

  beforeAll(async () => {
    node = await startTestNode({ adminTwins: [FARMER] });
    hub = await openHub(node);
    user = await Tenant.open(node);
    admin = await Tenant.open(node, 'farmer');
    expect(admin.twin).toBe(FARMER);
    await user.answered();
    site = await packSite(hub);
    empty = await standingOf(user);
  }, 300_000);

  afterAll(async () => {
    await hub?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  async function ask<C extends Command>(by: Tenant, command: C, input: unknown = null) {
    const payload = typeof input === 'string' ? input : JSON.stringify(input);
    return parseOutput(command, await by.peer.callNode(command.name, payload, DEADLINE_MS)) as ReturnType<
      typeof parseOutput<C['output']>
    >;
  }
  const refusal = (by: Tenant, name: string, payload = 'null'): Promise<string> =>
    by.peer.callNode(name, payload, DEADLINE_MS).then(
      () => 'answered',
      (error: Error) => error.message,
    );

  it('decides on a deployment that nobody signed or paid for, and changes nothing', async () => {
    const planOf = (workloads: Parameters<Tenant['sign']>[0]) => {
      const { signature_requirement, ...rest } = user.sign(workloads);
      const unsigned = { ...rest, signature_requirement: { ...signature_requirement, signatures: [] } };
      return ask(user, deploymentPlan, formatDeployment(unsigned));
    };
    const plan = await planOf(siteWorkloads('a', 1, site));
    expect(plan).toMatchObject({ fits: true, version: 0, reasons: [], capacity: empty.capacity });
    expect(plan.workloads.map(({ action, name }) => `${action} ${name}`)).toEqual(['add anet', 'add adisk', 'add avm']);
    expect(plan.needs.mru).toBe(256 * 1024 ** 2);
    const large = await planOf([diskWorkload('big', 900 * GiB)]);
    expect(large.fits).toBe(false);
    expect(large.reasons.map(({ code }) => code)).toEqual(['capacity_disk', 'capacity_single_disk']);
    expect(JSON.parse(large.reasons[1]?.details ?? '')).toMatchObject({ workload: 'big', requested: 900 * GiB });
    await expectUnchanged(user, empty);
  });

  it('lets a client wait for a deployment, an admin look at it, and nobody else', { timeout: 300_000 }, async () => {
    const held = hub.hold('.fl');
    const contract = await user.deploy(siteWorkloads('w', 2, site));
    const reference = { contract_id: Number(contract) };
    const wait = (more: object = {}) => ask(user, deploymentWait, { ...reference, ...more });
    await held.reached();
    // Its disk may still be in the making.
    await expect
      .poll(() => wait({ timeout_seconds: 1 }))
      .toMatchObject({ settled: false, ok: false, step: 'wvm: image' });
    await expect
      .poll(() => ask(user, capacityGet).then(({ waiting }) => waiting))
      .toMatchObject({ deployments: 1, workloads: 1 });
    const { waiting } = await ask(user, capacityGet);
    expect(waiting.oldest).toBeGreaterThan(1_700_000_000);

    // Those who wait have places of their own, and only so many.
    const { concurrency } = await ask(user, limitsGet);
    const waits = Array.from({ length: concurrency.waits_per_twin + 3 }, () => wait({ timeout_seconds: 50 }));
    const over = Promise.allSettled(waits);
    const refused: string[] = [];
    for (const one of waits) one.catch((error: unknown) => refused.push(String(error)));
    await expect.poll(() => refused.length).toBe(3);
    for (const text of refused) expect(text).toContain(`twin ${user.twin} has ${concurrency.waits_per_twin} requests`);
    expect((await ask(user, statisticsGet)).total.cru).toBeGreaterThan(0);
    held.release();
    const answers = (await over).flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(answers.length).toBe(concurrency.waits_per_twin);
    for (const answer of answers) {
      // On a slow machine one may have to ask again; the answer is never wrong.
      expect(answer.settled ? answer.ok : answer.step).toBeTruthy();
    }
    await expect
      .poll(() => wait({ timeout_seconds: 50 }), { timeout: 200_000 })
      .toMatchObject({
        ...{ settled: true, ok: true, version: 0, step: '' },
      });
    const { users, used, system } = await ask(user, statisticsGet);
    expect(users).toMatchObject({ deployments: 1, workloads: 3 });
    expect(used.mru).toBe(system.mru + 256 * 1024 ** 2);

    const deployment = `${user.twin}:${contract}`;
    const payload = JSON.stringify({ deployment, workload: 'wvm' });
    for (const name of ['list', 'get', 'history', 'info', 'health', 'nothing']) {
      expect(await refusal(user, `zos.debug.deployment.${name}`, payload)).toContain('unauthorized');
    }
    expect(await refusal(user, 'zos.admin.anything')).toContain('unauthorized');
    expect(await refusal(admin, 'zos.debug.deployment.nothing')).toContain('function is not found');
    // Clients of the grid send no payload at all here.
    const { deployments } = await ask(admin, debugDeploymentList, '');
    expect(deployments).toMatchObject([{ twin_id: user.twin, contract_id: contract }]);
    expect(deployments[0]?.workloads.map(({ name, state }) => `${name} ${state}`).sort()).toEqual([
      'wdisk ok',
      'wnet ok',
      'wvm ok',
    ]);
    expect((await ask(admin, debugDeploymentList, { twin_id: 99 })).deployments).toEqual([]);
    const got = await ask(admin, debugDeploymentGet, { deployment });
    expect(got.deployment.contract_id).toBe(contract);
    const { history } = await ask(admin, debugDeploymentHistory, { deployment });
    expect(history.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(history.at(-1)).toMatchObject({ name: 'wvm', type: 'zmachine', state: 'ok', message: '' });

    const machine = await ask(admin, debugDeploymentInfo, { deployment, workload: 'wvm' });
    expect(machine).toMatchObject({ workload_id: `${user.twin}-${contract}-wvm`, type: 'zmachine', name: 'wvm' });
    expect(JSON.parse(machine.info ?? '')).toEqual({ HtEnabled: false, Memory: 256, CPU: 1 });
    expect(machine.logs?.length).toBeLessThanOrEqual(2048);
    const whole = await ask(admin, debugDeploymentInfo, { deployment, workload: 'wvm', verbose: true });
    expect(whole.logs?.length).toBeGreaterThanOrEqual(machine.logs?.length ?? 0);
    const network = await ask(admin, debugDeploymentInfo, { deployment, workload: 'wnet' });
    expect(network.logs).toBe("Network workloads don't support logs");
    expect(JSON.parse(network.info ?? '')).toMatchObject({ state: 'ok', net_id: expect.stringMatching(/^\w{13}$/) });

    const health = await ask(admin, debugDeploymentHealth, { deployment });
    const failed = health.workloads.flatMap(({ checks }) => checks.filter(({ ok }) => !ok));
    expect(failed).toEqual([]);
    expect(health.workloads.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
      'wnet healthy',
      'wvm healthy',
    ]);
    expect(health.workloads.flatMap(({ checks }) => checks.map(({ name }) => name)).sort()).toEqual([
      ...['network.bridge', 'network.config', 'network.interfaces', 'network.namespace'],
      ...['vm.config', 'vm.disks', 'vm.process', 'vm.virtiofs', 'vm.vmd'],
    ]);

    // A machine that hangs answers nothing, and does not hide what the others say.
    const [machinePid = 0] = await pidsOf(node.layout, /^qemu-system/);
    process.kill(machinePid, 'SIGSTOP');
    try {
      const hung = await ask(admin, debugDeploymentHealth, { deployment });
      expect(hung.workloads.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
        'wnet healthy',
        'wvm unhealthy',
      ]);
      const unhealthy = hung.workloads.flatMap(({ checks }) => checks.filter(({ ok }) => !ok));
      expect(unhealthy.map(({ name }) => name)).toEqual(['vm.process', 'vm.config']);
      for (const { message } of unhealthy) expect(message).not.toBe('');
    } finally {
      process.kill(machinePid, 'SIGCONT');
    }

    const wrong = async (name: string, input: object) =>
      refusal(admin, `zos.debug.deployment.${name}`, JSON.stringify(input));
    expect(await wrong('get', {})).toContain('deployment identifier is required');
    expect(await wrong('get', { deployment: '7' })).toContain(
      "invalid deployment format: expected 'twin-id:contract-id', got '7'",
    );
    expect(await wrong('get', { deployment: 'x:1' })).toContain(
      'invalid twin ID: x: strconv.ParseUint: parsing "x": invalid syntax',
    );
    expect(await wrong('get', { deployment: '1:99999999999999999999' })).toContain('value out of range');
    expect(await wrong('history', { deployment: '1:9' })).toContain('failed to get deployment: deployment not found');
    expect(await wrong('info', { deployment })).toContain('workload name is required');
    expect(await wrong('info', { deployment, workload: 'zz' })).toContain("workload 'zz' not found in deployment");
    expect(await wrong('info', { deployment, workload: 'wdisk' })).toContain(
      "workload type 'zmount' not supported for info command",
    );
    expect(await wrong('health', {})).toContain('deployment is required when system_probe is not specified');
    expect(await wrong('health', { deployment, options: { system_probe: 'id' } })).toContain(
      'this node runs no commands for anyone',
    );

    // A version that never comes: the wait ends with the deployment.
    const last = wait({ version: 9, timeout_seconds: 50 });
    await user.cancel(contract);
    expect(await last).toMatchObject({ settled: true, ok: false, step: '' });
    expect((await last).workloads.map(({ state }) => state)).toEqual(['deleted', 'deleted', 'deleted']);
    expect(await refusal(user, deploymentWait.name, JSON.stringify(reference))).toContain('deployment not found');
    await expectUnchanged(user, empty);
  });
});

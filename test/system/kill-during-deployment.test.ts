import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { generatePrivateKey, publicKeyOf } from '../../modules/wireguard/index.ts';
import { MiB } from '../../schemas/index.ts';
import { differenceTo, holdings } from './holdings.ts';
import { type Hub, openHub, packSite } from './hub.ts';
import { flushBus, killUnit, pidsOf, untilBack } from './kill.ts';
import { logLines, untilLogged } from './node-log.ts';
import { machinePage } from './page.ts';
import { type Standing, standingOf } from './standing.ts';
import { diskWorkload, machineAddress, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const ALL_OK = [
  ['vdisk', 'ok', ''],
  ['vnet', 'ok', ''],
  ['vvm', 'ok', ''],
];

describe.skipIf(!isRoot)('processes killed in the middle of a deployment', () => {
  let node: TestNode;
  let hub: Hub;
  let user: Tenant;
  let flist: string;
  let before: Standing;

  beforeAll(async () => {
    node = await startTestNode();
    hub = await openHub(node);
    user = await Tenant.open(node);
    flist = await packSite(hub);
    await user.answered();
    before = await standingOf(user);
  }, 180_000);

  afterAll(async () => {
    await hub?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /** One case's trouble must not be the next one's. */
  afterEach(async () => {
    hub?.release();
    for (const contract of open.splice(0)) await user.cancel(contract);
  }, 120_000);

  const open: bigint[] = [];
  const deploy = async (): Promise<bigint> => {
    const contract = await user.deploy(workloads());
    open.push(contract);
    return contract;
  };
  const workloads = () => siteWorkloads('v', 1, flist, 'still here');
  const pidOf = async (unit: string): Promise<number | undefined> => (await node.zinit.status(unit)).pid;

  /** Kills units and waits until each is back. */
  const kill = async (...units: readonly string[]): Promise<() => Promise<void>> => {
    const pids = await Promise.all(units.map(pidOf));
    await Promise.all(units.map((unit) => killUnit(node, unit)));
    return async () => {
      await Promise.all(units.map((unit, index) => untilBack(node, unit, pids[index])));
    };
  };

  /** The deployment ends in three running workloads, each reported once. */
  const expectRuns = async (contract: bigint): Promise<void> => {
    await user.settled(contract);
    const changes = await user.changes(contract);
    expect(changes.filter(([, state]) => state !== 'init').sort()).toEqual(ALL_OK);
    expect(changes.filter(([, state]) => state === 'init')).toHaveLength(3);
  };

  const expectPage = async (): Promise<void> => {
    const place = { twin: user.twin, network: 'vnet', address: machineAddress(1) };
    expect(await machinePage(node, place)).toContain('<h1>still here</h1>');
  };

  /** After the contract is cancelled the node is as it was. */
  const expectNothingLeft = async (contract: bigint): Promise<void> => {
    await user.cancel(contract);
    open.splice(0);
    expect(await differenceTo(before.holdings, node.layout)).toEqual({ more: [], less: [] });
    await user.answered();
    expect(await user.capacity()).toEqual(before.capacity);
  };

  describe('provisiond', () => {
    it('right after it accepted', { timeout: 300_000 }, async () => {
      const contract = await deploy();
      const back = await kill('provisiond');
      await back();
      await user.answered();
      await expectRuns(contract);
      await expectPage();
      await expectNothingLeft(contract);
    });

    it('while the image is fetched', { timeout: 300_000 }, async () => {
      const held = hub.hold('/site.fl');
      const contract = await deploy();
      await held.reached();
      const back = await kill('provisiond');
      await back();
      held.release();
      await expectRuns(contract);
      await expectPage();
      await expectNothingLeft(contract);
    });

    it('while the machine starts', { timeout: 300_000 }, async () => {
      const after = (await logLines(node.layout, 'provisiond')).length;
      const contract = await deploy();
      await untilLogged(
        node.layout,
        'provisiond',
        ({ msg, step, state }) => msg === 'step' && step === 'machine' && state === 'started',
        { after },
      );
      const back = await kill('provisiond');
      await back();
      await expectRuns(contract);
      await expectPage();
      await expectNothingLeft(contract);
    });

    it('while an update is carried out; the machine runs on', { timeout: 300_000 }, async () => {
      const site = workloads();
      const spare = (size: number) => diskWorkload('spare', size * MiB);
      const contract = await user.deploy([...site, spare(16), diskWorkload('old', 16 * MiB)]);
      open.push(contract);
      const states = [...(await user.settled(contract)).values()].map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(['ok']));
      await expectPage();
      const machines = await pidsOf(node.layout, /^qemu-system/);
      expect(machines).toHaveLength(1);
      const during = await user.capacity();

      const peer = {
        subnet: '10.21.9.0/24',
        wireguard_public_key: publicKeyOf(generatePrivateKey()),
        allowed_ips: ['10.21.9.0/24'],
        endpoint: '',
      };
      const withPeer = (data: string): string => JSON.stringify({ ...JSON.parse(data), peers: [peer] });
      const changed = [
        ...site.map((one) => (one.type === 'network' ? { ...one, version: 1, data: withPeer(one.data) } : one)),
        { ...spare(48), version: 1 },
        { ...diskWorkload('more', 32 * MiB), version: 1 },
      ];
      await user.update(contract, changed, 1);
      const back = await kill('provisiond');
      await back();
      await user.answered();
      const made = async (): Promise<number> =>
        (await user.changes(contract)).filter(([, state]) => state === 'init' || state === 'ok').length;
      await expect.poll(made, { timeout: 60_000 }).toBe(5 * 2 + 4);
      const standing = await user.deployment(contract);
      expect(standing.version).toBe(1);
      const seen = standing.workloads.map((one) => `${one.name} ${one.version} ${one.result.state}`).sort();
      expect(seen).toEqual(['more 1 ok', 'spare 1 ok', 'vdisk 0 ok', 'vnet 1 ok', 'vvm 0 ok']);
      expect((await user.changes(contract)).filter(([, state]) => state === 'deleted')).toEqual([
        ['old', 'deleted', 'deleted by an update'],
      ]);
      expect(await pidsOf(node.layout, /^qemu-system/)).toEqual(machines);
      await expectPage();
      expect((await user.capacity()).committed.sru - during.committed.sru).toBe((48 - 16 + 32 - 16) * MiB);
      const left = await holdings(node.layout);
      expect(left.filter((one) => one.startsWith('disk ')).map((one) => one.replace(/.*-/, ''))).toEqual([
        'more',
        'spare',
        'vdisk',
      ]);
      await expectNothingLeft(contract);
    });

    it('and the contract is cancelled before it is back', { timeout: 300_000 }, async () => {
      const held = hub.hold('/site.fl');
      const contract = await deploy();
      await held.reached();
      const back = await kill('provisiond');
      await user.chain.cancelContract(contract);
      held.release();
      await back();
      await expectNothingLeft(contract);
    });
  });

  it.each(['flistd', 'storaged', 'networkd', 'vmd', 'gateway', 'relay', 'chaind', 'chain', 'redis'])(
    '%s, while the image is fetched',
    { timeout: 300_000 },
    async (unit) => {
      const held = hub.hold('/site.fl');
      const contract = await deploy();
      await held.reached();
      const back = await kill(unit);
      held.release();
      await back();
      expect(await user.answered()).toBeLessThan(20_000);
      await expectRuns(contract);
      await expectNothingLeft(contract);
    },
  );

  it.each(['vmd', 'networkd', 'storaged'])('%s, while it works', { timeout: 300_000 }, async (unit) => {
    const step = { vmd: 'machine', networkd: 'network', storaged: 'disk' }[unit];
    const after = (await logLines(node.layout, 'provisiond')).length;
    const deploying = deploy();
    await untilLogged(
      node.layout,
      'provisiond',
      (line) => line.msg === 'step' && line.step === step && line.state === 'started',
      { after },
    );
    const back = await kill(unit);
    const contract = await deploying;
    await back();
    await expectRuns(contract);
    await expectNothingLeft(contract);
  });

  it('everything that makes machines, at once', { timeout: 300_000 }, async () => {
    const held = hub.hold('/site.fl');
    const contract = await deploy();
    await held.reached();
    const back = await kill('provisiond', 'vmd', 'flistd', 'networkd', 'storaged', 'redis');
    held.release();
    await back();
    await user.answered();
    await expectRuns(contract);
    await expectNothingLeft(contract);
  });

  it('a bus that is emptied loses nothing', { timeout: 300_000 }, async () => {
    const held = hub.hold('/site.fl');
    const contract = await deploy();
    await held.reached();
    await flushBus(node.layout);
    held.release();
    expect(await user.answered()).toBeLessThan(20_000);
    await expectRuns(contract);
    await expectNothingLeft(contract);
  });
});

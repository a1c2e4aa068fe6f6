import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { flist } from '../../modules/flistd/interface.ts';
import { run } from '../../modules/host/run.ts';
import { network, networkInventory } from '../../modules/networkd/interface.ts';
import { storage } from '../../modules/storaged/interface.ts';
import { vmd } from '../../modules/vmd/interface.ts';
import { generatePrivateKey } from '../../modules/wireguard/index.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { reconciler } from '../../provision/interface.ts';
import { MiB, networkId, uniqueName } from '../../schemas/index.ts';
import { differenceTo, restingHoldings } from './holdings.ts';
import { type Hub, openHub, packSite } from './hub.ts';
import { killUnit, pidsOf, untilBack } from './kill.ts';
import { machinePage } from './page.ts';
import { machineAddress, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const CALLING = { deadlineMs: 60_000 };
const NONE = { PublicIPv4: false, PublicIPv6: false };

describe.skipIf(!isRoot)('what a node holds for nobody', () => {
  let node: TestNode;
  let hub: Hub;
  let user: Tenant;
  let image: string;
  let bus: ZbusClient;
  let kept: bigint;
  let gone: bigint;

  beforeAll(async () => {
    node = await startTestNode();
    hub = await openHub(node);
    user = await Tenant.open(node);
    image = await packSite(hub);
    bus = new ZbusClient({ broker: node.layout.broker });
    await user.answered();
    kept = await user.deploy(siteWorkloads('v', 1, image, 'still here'));
    gone = await user.deploy(siteWorkloads('w', 2, image));
    await Promise.all([user.settled(kept), user.settled(gone)]);
    await user.cancel(gone);
  }, 240_000);
  afterAll(async () => {
    await bus?.close();
    await hub?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  const inNode = async (...argv: string[]): Promise<void> => {
    const supervisor = await supervisorOf(node.layout);
    const inside = ['--target', `${supervisor?.pid}`, '--mount', '--net'];
    await run('nsenter', [...inside, ...argv], CALLING);
  };
  const idOf = (name: string): string => `${user.twin}-${gone}-${name}`;

  /** A machine with all it needs, made by somebody else than provisiond. */
  const runMachine = async (): Promise<void> => {
    const [machine, rootfs] = [idOf('vm'), `rootfs:${idOf('vm')}`];
    const [disks, links] = [bus.of(storage), bus.of(network)];
    const root = await disks.VolumeCreate({ name: rootfs, size: 300 * MiB }, CALLING);
    const disk = await disks.DiskCreate({ name: idOf('disk'), size: 32 * MiB }, CALLING);
    const NetID = networkId(user.twin, 'stray');
    const mask = (bytes: number): Uint8Array => Uint8Array.of(255, 255, bytes, 0);
    await links.CreateNR(
      {
        wl: idOf('stray'),
        network: {
          NetworkIPRange: { IP: Uint8Array.of(10, 77, 0, 0), Mask: mask(0) },
          Subnet: { IP: Uint8Array.of(10, 77, 2, 0), Mask: mask(255) },
          ...{ WGPrivateKey: generatePrivateKey(), WGListenPort: 4777, Peers: [], Mycelium: null, NetID },
        },
      },
      CALLING,
    );
    const name = uniqueName(machine, 'stray');
    const Tap = await links.SetupPrivTap({ networkID: NetID, name }, CALLING);
    await bus.of(networkInventory).Claim({ name, owner: machine }, CALLING);
    const opt = { ReadOnly: false, Limit: 0, Storage: '', PersistedVolume: root.Path };
    const Path = await bus.of(flist).Mount({ name: machine, url: image, opt }, CALLING);
    const guest = join(node.layout.state, 'guest');
    const nic = {
      Tap,
      MAC: '02:00:00:00:00:77',
      IPs: [],
      Routes: [],
      IP4DefaultGateway: null,
      IP6DefaultGateway: null,
    };
    await bus.of(vmd).Run(
      {
        vm: {
          ...{ Name: machine, CPU: 1, Memory: 256 * MiB, Hostname: 'vm', NoKeepAlive: false, Devices: [] },
          Network: { Ifaces: [{ ...nic, ...NONE, NetID }], Nameservers: [] },
          ...{ KernelImage: join(guest, 'kernel'), InitrdImage: join(guest, 'initrd.img'), KernelArgs: new Map() },
          ...{ Entrypoint: '/bin/sh /start.sh', Environment: new Map(), Shared: [] },
          ...{ Disks: [{ Path: disk.Path, Target: '/data' }], Boot: { Type: 1, Path } },
        },
      },
      CALLING,
    );
  };

  /** The same past the daemons, which know nothing of it. */
  const makeByHand = async (): Promise<void> => {
    const pools = join(node.layout.state, 'pools');
    const supervisor = await supervisorOf(node.layout);
    const [pool = ''] = await readdir(`/proc/${supervisor?.pid}/root${pools}`);
    await inNode('btrfs', 'subvolume', 'create', join(pools, pool, idOf('handvol')));
    await inNode('fallocate', '--length', '1048576', join(pools, pool, 'vdisks', idOf('handdisk')));
    await inNode('ip', 'tuntap', 'add', 'dev', 't-byhand', 'mode', 'tap');
    await inNode('ip', 'link', 'set', 'dev', 't-byhand', 'alias', idOf('handvm'));
    const mount = join(node.layout.state, 'flistd', 'mnt', idOf('handvm'));
    await inNode('mkdir', mount);
    await inNode('mount', '-t', 'tmpfs', 'tmpfs', mount);
  };

  it('goes soon after provisiond starts where it was promised once; what has an owner runs on', {
    timeout: 300_000,
  }, async () => {
    const before = await restingHoldings(node.layout);
    const capacity = await user.capacity();
    const machines = await pidsOf(node.layout, /^qemu-system/);
    expect(machines).toHaveLength(1);
    await runMachine();
    await makeByHand();
    // Whoever this is of, it never was this node's.
    await bus.of(storage).DiskCreate({ name: '4242-777777-alien', size: 2 * MiB }, CALLING);
    expect(await pidsOf(node.layout, /^qemu-system/)).toHaveLength(2);
    expect((await bus.of(reconciler).Leaks({}, CALLING)).RemovedInAll.size).toBe(0);

    const { pid } = await node.zinit.status('provisiond');
    await killUnit(node, 'provisiond');
    await untilBack(node, 'provisiond', pid);
    await user.answered();
    const told = async (): Promise<Record<string, number>> =>
      Object.fromEntries((await bus.of(reconciler).Leaks({}, CALLING)).RemovedInAll);
    const all = { machine: 1, mount: 2, tap: 2, network: 1, volume: 2, disk: 2 };
    await expect.poll(told, { timeout: 90_000 }).toEqual(all);
    const last = await bus.of(reconciler).Run({}, CALLING);
    expect(last).toMatchObject({ Error: '', Away: [] });
    expect(last.RepairsInAll.size).toBe(0);
    expect(last.Kinds.filter(({ Found, Missing }) => Found > 0 || Missing > 0)).toEqual([]);
    expect(last.Kinds).toMatchObject([{ Kind: 'disk', Unknown: 1, UnknownBytes: 2 * MiB }]);
    await bus.of(storage).DiskDelete({ name: '4242-777777-alien' }, CALLING);
    expect(await differenceTo(before, node.layout)).toEqual({ more: [], less: [] });
    expect(await pidsOf(node.layout, /^qemu-system/)).toEqual(machines);
    await user.answered();
    // What the pools have is read now and then.
    await expect.poll(() => user.capacity(), { timeout: 60_000 }).toEqual(capacity);
    const place = { twin: user.twin, network: 'vnet', address: machineAddress(1) };
    expect(await machinePage(node, place)).toContain('<h1>still here</h1>');
  });
});

/** What networkd says of networks and taps on a real kernel, how it removes what nobody owns, and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ZbusError } from '../zbus/errors.ts';
import { networkInventory } from './interface.ts';
import { networkId, uniqueId } from './plan/ids.ts';
import { networkRequest, TestNode } from './testing/node.ts';

const isRoot = process.getuid?.() === 0;
const [owned, left, byHand] = ['mine', 'left', 'hand'].map((name) => networkId(7, name)) as [string, string, string];

describe.skipIf(!isRoot)('the inventory of networks', { timeout: 120_000 }, () => {
  const node = new TestNode();
  const list = async (): Promise<string[]> => {
    const found = await node.bus.of(networkInventory).Owned({});
    return found.map((one) => `${one.Kind} ${one.Name} ${one.Owner} ${one.Residue ? 'residue' : ''}`.trim()).sort();
  };
  const remove = (kind: string, name: string, owner = ''): Promise<void> =>
    node.bus.of(networkInventory).Remove({ kind, name, owner });
  const tapOf = async (network: string, workload: string): Promise<string> => {
    const name = uniqueId(workload, network);
    await node.network.SetupPrivTap({ networkID: network, name });
    await node.bus.of(networkInventory).Claim({ name, owner: workload });
    return name;
  };
  let vm = '';

  beforeAll(async () => {
    await node.start();
    await node.startDaemon();
    await node.network.CreateNR({ wl: '7-1-mine', network: networkRequest(owned) });
    vm = await tapOf(owned, '7-1-vm');
  }, 120_000);
  afterAll(() => node.stop(), 120_000);

  it('lists each with its owner, also after a start with nothing in memory', async () => {
    const whole = [`network ${owned} 7-1-mine`, `tap t-${vm} 7-1-vm`];
    expect(await list()).toEqual(whole);
    await node.stopDaemon('SIGKILL');
    await node.startDaemon();
    expect(await list()).toEqual(whole);
  });

  it('finds what has no record or was made by hand, and removes it', async () => {
    const before = await node.inventory();
    await node.network.CreateNR({
      wl: '7-9-left',
      network: networkRequest(left, { subnet: '10.30.2.0/24', range: '10.30.0.0/16' }),
    });
    const tap = await tapOf(left, '7-9-vm');
    // The record is lost with networkd away: bridge, namespace, tunnel and tap stay on the host.
    await node.stopDaemon('SIGKILL');
    await node.inside('', 'rm', `${node.state}/networkd/networks/${left}.json`);
    await node.startDaemon();
    await node.ip('netns', 'add', `${node.name}.n-${byHand}`);
    await node.inside('', 'ip', 'tuntap', 'add', 'dev', 't-byhand', 'mode', 'tap');
    // A tap that went by other hands still may send.
    const gone = uniqueId('7-1-other', owned);
    await node.network.SetupPrivTap({ networkID: owned, name: gone });
    await node.inside('', 'ip', 'link', 'del', 'dev', `t-${gone}`);

    const found = await list();
    expect(found.filter((line) => !line.includes(owned) && !line.includes(vm))).toEqual(
      [
        `network ${byHand}  residue`,
        `network ${left} 7-9-left`,
        'tap t-byhand',
        `tap t-${tap} 7-9-vm`,
        `tap-guard t-${gone}  residue`,
      ].sort(),
    );
    await remove('tap', `t-${tap}`, '7-9-vm');
    await remove('tap', 't-byhand');
    await remove('tap-guard', `t-${gone}`);
    await remove('network', left, '7-9-left');
    await remove('network', byHand);
    expect(await list()).toEqual([`network ${owned} 7-1-mine`, `tap t-${vm} 7-1-vm`]);
    expect(JSON.parse(await node.inventory())).toEqual(JSON.parse(before));
  });

  it('W17: a network stays while machines of other deployments are on it, and goes with the last of them', async () => {
    const other = await tapOf(owned, '7-2-vm');
    const refused = await node.network.DeleteNR({ wl: '7-1-mine' }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ZbusError);
    expect((refused as ZbusError).remote).toMatchObject({ code: 'network_in_use' });
    expect(await list()).toContain(`network ${owned} 7-1-mine`);
    expect(await node.network.TapExists({ name: other })).toBe(true);
    await node.network.RemoveTap({ name: other });
    // Its own deployment's machine does not hold it.
    await node.network.DeleteNR({ wl: '7-1-mine' });
    expect(await list()).toEqual([]);
  });

  it('refuses owners that are no workloads, and names that are none of its own', async () => {
    await expect(node.bus.of(networkInventory).Claim({ name: 'x', owner: 'a b' })).rejects.toThrow(/workload/);
    await expect(remove('tap', 'up0')).rejects.toThrow(/t-/);
    await expect(remove('network', '../x')).rejects.toThrow();
  });
});

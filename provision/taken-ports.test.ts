import { afterEach, describe, expect, it, vi } from 'vitest';
import { network, networkInventory } from '../modules/networkd/interface.ts';
import type { InterfaceDefinition } from '../modules/zbus/definition.ts';
import { ZbusServer } from '../modules/zbus/server.ts';
import { TakenPorts } from './taken-ports.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { diskWorkload, networkWorkload } from './testing/tenant.ts';

standForEachTest({ served: false });
afterEach(() => vi.useRealTimers());

const calling = { deadlineMs: 10_000, signal: new AbortController().signal };
const asked = (): unknown[] =>
  host.calls.filter(({ method }) => /Ports/.test(method)).map(({ method, args }) => [method, args]);

it('asks networkd for the ports that are wanted, and for none where none is', async () => {
  await stand.serveHost();
  await stand.startHere();
  host.wireguardPorts = [4127];
  await stand.deploy(tenant.contracted(host, 1n, [diskWorkload('d', 1024 ** 3)]));
  expect(asked()).toEqual([]);
  await stand.deploy(tenant.contracted(host, 2n, [networkWorkload('n1', 4128), networkWorkload('n2', 0)]));
  for (const contract of [1n, 2n]) await stand.running(contract);
  const refused = await stand.refused(tenant.contracted(host, 3n, [networkWorkload('n3', 4127)]));
  expect(refused).toMatchObject({ code: 'wireguard_port_taken', details: { workload: 'n3', port: 4127 } });
  expect(asked()).toEqual([
    ['PortsTaken', { ports: [4128] }],
    ['PortsTaken', { ports: [4127] }],
  ]);
});

describe('a networkd that tells of ports only as a list', () => {
  const { PortsTaken: _, ...methods } = networkInventory.methods;
  const makes: readonly (readonly [name: string, objects: readonly InterfaceDefinition[]])[] = [
    ['of another make, without objects of ours', [network]],
    ['of before, whose own object does not know the question', [network, { ...networkInventory, methods }]],
  ];

  it.each(makes)('%s, is asked for the list, and for some time for nothing else', async (_name, objects) => {
    const server = new ZbusServer({ module: 'network', broker: stand.redis.broker });
    for (const one of objects) {
      server.serve(one, (one === network ? host.network : host.networkInventory) as never);
    }
    await server.start();
    try {
      host.wireguardPorts = [4127];
      const own = bus.of(networkInventory);
      const PortsTaken = vi.fn(own.PortsTaken);
      const ports = new TakenPorts(bus.of(network), { PortsTaken });
      vi.useFakeTimers({ toFake: ['performance'] });
      for (const times of [1, 1, 2]) {
        const taken = await ports.among([4127, 4128], calling);
        expect([4127, 4128].map((port) => taken.has(port))).toEqual([true, false]);
        expect(PortsTaken).toHaveBeenCalledTimes(times);
        vi.advanceTimersByTime(30_001);
      }
      expect(asked()).toEqual(Array.from({ length: 3 }, () => ['WireguardPorts', {}]));
    } finally {
      await server.stop();
    }
  });

  it('is not taken for one where it does not answer: nothing is decided then', async () => {
    const listed = { WireguardPorts: vi.fn() };
    const ports = new TakenPorts(listed, bus.of(networkInventory));
    await expect(ports.among([4127], { ...calling, deadlineMs: 3_000 })).rejects.toMatchObject({
      kind: 'no_such_module',
    });
    expect(listed.WireguardPorts).not.toHaveBeenCalled();
  });
});

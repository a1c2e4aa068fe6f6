import { totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';
import { encode } from '../../zbus/codec.ts';
import { TimesStat, VirtualMemoryStat } from '../interface.ts';
import { Monitor } from '../monitor.ts';
import { portableHost } from './portable.ts';

describe('a machine of which only Node.js tells', () => {
  const host = portableHost();

  it('streams what is known in the types of the bus', async () => {
    const monitor = new Monitor(host, 10);
    const stop = new AbortController();
    const first = async <T>(events: AsyncGenerator<T>): Promise<T> => {
      for await (const event of events) return event;
      throw new Error('the stream ended without a value');
    };
    const cpu = await first(monitor.cpu(stop.signal));
    expect(encode(TimesStat, cpu).length).toBeGreaterThan(0);
    expect(cpu.Idle).toBeGreaterThan(0);
    const memory = await first(monitor.memory(stop.signal));
    expect(encode(VirtualMemoryStat, memory).length).toBeGreaterThan(0);
    expect(memory.Total).toBe(totalmem());
    expect(memory.SwapTotal).toBe(0);
    expect(await first(monitor.disks(stop.signal))).toEqual(new Map());
    expect(await first(monitor.nics(stop.signal))).toEqual([]);
    expect(await first(monitor.uptime(stop.signal))).toBeGreaterThan(0n);
    stop.abort();
    expect(await monitor.uptime(stop.signal).next()).toEqual({ done: true, value: undefined });
  });

  it('says what it cannot tell', async () => {
    await expect(host.dmidecode()).rejects.toMatchObject({ code: 'host_dmi_unreadable' });
    expect(await host.gpus()).toEqual([]);
    expect(await host.hypervisor()).toBe('unknown');
  });
});

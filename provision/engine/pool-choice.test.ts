import { expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, states } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { Daemons } from '../workloads/workload.ts';

const world = engineWorld();

/** Runs a deployment over a storaged that answers wishes so; returns those it heard before it made each thing. */
async function wishes(answer: () => boolean): Promise<string[]> {
  const { host, startEngine, accept } = world;
  const heard: string[] = [];
  const Prefer = ({ name, pool }: { name: string; pool: string }): Promise<boolean> => {
    expect(host.volumes.has(name) || host.disks.has(name)).toBe(false);
    heard.push(`${name} in ${pool}`);
    return new Promise((resolve) => resolve(answer()));
  };
  const daemons: Daemons = { ...host.daemons, placement: { Prefer } };
  const journal = new MemoryJournal();
  const engine = startEngine(journal, daemons);
  engine.submit((await accept(journal, full())).id);
  await engine.idle();
  expect(states(journal)).toEqual(allOk);
  return heard.sort();
}

it('storaged hears for which pool each thing was planned, before it makes it', async () => {
  expect(await wishes(() => true)).toEqual(['7-1-disk1 in pool1', '7-1-vol1 in pool1', 'rootfs:7-1-vm1 in pool1']);
});

it('a storaged that is away for a moment hears it when it is back', async () => {
  let failures = 3;
  const answer = (): boolean => {
    if (failures-- > 0) throw new ZbusError('bus_lost', 'the broker went away');
    return true;
  };
  expect(new Set(await wishes(answer)).size).toBe(3);
});

it('a storaged that knows no wishes is not asked again and again', async () => {
  const heard = await wishes(() => {
    throw new ZbusError('protocol', 'unknown object');
  });
  expect(heard.length).toBeLessThanOrEqual(3);
  expect(heard.length).toBeGreaterThan(0);
});

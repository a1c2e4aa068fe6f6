import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { allOk, full, LIMITS, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import { diskWorkload, networkWorkload } from '../testing/tenant.ts';

const GIB = 1024 ** 3;
const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

/** `journal`, in which the record of one deployment can not be read while `isTorn`. */
function torn(journal: Journal, id: string, isTorn: () => boolean): Journal {
  return new Proxy(journal, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const found: unknown = value.apply(target, args);
        if (property !== 'deployment' || args[0] !== id || !isTorn() || found === undefined) return found;
        return { ...(found as object), document: '{' };
      };
    },
  });
}

const operation = (journal: Journal, id = '7-1') => journal.operations(id).at(-1);
const LONG = { ...LIMITS, poison: { ...LIMITS.poison, parkMs: 600_000 } };

describe('W5: a poisonous deployment', () => {
  it('is parked with its cause, and the node works on', async () => {
    const journal = new MemoryJournal();
    let isTorn = true;
    const engine = startEngine(
      torn(journal, '7-1', () => isTorn),
      host.daemons,
      LONG,
    );
    engine.submit((await accept(journal, full())).id);
    await expect.poll(() => operation(journal)?.state).toBe('parked');
    expect(operation(journal)?.attempts).toBe(LIMITS.poison.failures);
    expect(operation(journal)?.error).not.toBe('');
    await expect.poll(() => engine.numbers).toMatchObject({ lanes: 1, parked: 1, running: { work: 0 } });
    const other = await accept(journal, tenant.deployment(2n, [diskWorkload('disk1', GIB)]));
    engine.submit(other.id);
    await expect.poll(() => states(journal, other.id)).toEqual({ disk1: 'ok' });
    // What is asked of it is tried at once.
    isTorn = false;
    engine.submit('7-1');
    await engine.idle();
    expect(states(journal)).toEqual(allOk);
    expect(operation(journal)).toMatchObject({ kind: 'create', state: 'done', error: '' });
  });

  it('is tried again when its time has come', async () => {
    const journal = new MemoryJournal();
    let isTorn = true;
    const limits = { ...LIMITS, poison: { ...LIMITS.poison, parkMs: 30 } };
    const engine = startEngine(
      torn(journal, '7-1', () => isTorn),
      host.daemons,
      limits,
    );
    engine.submit((await accept(journal, full())).id);
    await expect.poll(() => operation(journal)?.attempts).toBeGreaterThan(LIMITS.poison.failures + 2);
    isTorn = false;
    await engine.idle();
    expect(states(journal)).toEqual(allOk);
  });

  it('is removed although it was parked', async () => {
    const journal = new MemoryJournal();
    let isTorn = true;
    const engine = startEngine(
      torn(journal, '7-1', () => isTorn),
      host.daemons,
      LONG,
    );
    engine.submit((await accept(journal, full())).id);
    await expect.poll(() => operation(journal)?.state).toBe('parked');
    isTorn = false;
    engine.cancel('7-1', 'contract canceled event received');
    await engine.idle();
    expect(host.resources).toEqual([]);
    expect(journal.deployments()).toEqual([]);
    expect(operation(journal)).toMatchObject({ kind: 'cancel', state: 'done' });
  });

  it('is not what waits for a host in trouble', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal, host.daemons, LONG);
    engine.submit((await accept(journal, full())).id);
    await engine.idle();
    let failures = 3 * LIMITS.poison.failures;
    host.hook = ({ method }) => {
      if (method === 'Unmount' && failures-- > 0) throw new Error('busy');
    };
    engine.cancel('7-1', 'x');
    await engine.idle();
    expect(failures).toBeLessThan(0);
    expect(journal.deployments()).toEqual([]);
  });
});

/** A journal whose pending operations of the deployment were running at so many deaths of the process. */
function crashed(journal: Journal, crashes: ReadonlyMap<string, number>): Journal {
  return new Proxy(journal, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'pending') return value.bind(target);
      return (id?: string) =>
        target.pending(id).map((one) => ({ ...one, crashes: crashes.get(one.deployment) ?? one.crashes }));
    },
  });
}

describe('W5: what the process died of again and again', () => {
  it('runs alone, one at a time, while cancels go on', async () => {
    const journal = new MemoryJournal();
    const ids: string[] = [];
    for (let contract = 1n; contract <= 6n; contract++) {
      ids.push((await accept(journal, tenant.deployment(contract, [networkWorkload(`net${contract}`)]))).id);
    }
    const suspects = new Map([
      ['7-2', 2],
      ['7-4', 2],
    ]);
    let running = new Set<string>();
    const together: string[][] = [];
    host.hook = async ({ method, args }, when) => {
      if (method !== 'CreateNR') return;
      const id = String(args.wl).split('-').slice(0, 2).join('-');
      if (when === 'after') {
        running = new Set([...running].filter((one) => one !== id));
        return;
      }
      running.add(id);
      for (const one of running) if (suspects.has(one)) together.push([...running].sort());
      await sleep(5);
    };
    const engine = startEngine(crashed(journal, suspects), host.daemons);
    engine.resume();
    await engine.idle();
    expect(together).toEqual([['7-2'], ['7-4']]);
    for (const id of ids) expect(Object.values(states(journal, id))).toEqual(['ok']);
  });

  it('is parked after one death more, and still removed when it is asked', async () => {
    const journal = new MemoryJournal();
    await accept(journal, full());
    const engine = startEngine(crashed(journal, new Map([['7-1', 3]])), host.daemons, LONG);
    engine.resume();
    // Nothing was attempted.
    expect(operation(journal)).toMatchObject({ state: 'parked', attempts: 0 });
    expect(operation(journal)?.error).toMatch(/ended 3 times/);
    expect(host.calls).toEqual(expect.not.arrayContaining([expect.objectContaining({ method: 'CreateNR' })]));
    engine.cancel('7-1', 'x');
    await engine.idle();
    expect(journal.deployments()).toEqual([]);
  });
});

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PerformanceMonitor } from './monitor.ts';
import { Results } from './results.ts';
import type { Json, Task } from './task.ts';
import { TestClock, until } from './testing/clock.ts';

const log = pino({ level: 'silent' });
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let folder: string;
let clock: TestClock;
const monitors: PerformanceMonitor[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'perf-'));
  clock = new TestClock('2026-01-01T01:00:00Z');
});
afterEach(async () => {
  for (const monitor of monitors.splice(0)) await monitor.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A task that notes when it ran; `work` may fail or hang. */
function task(change: Partial<Task> = {}, work: (signal: AbortSignal) => Json | Promise<Json> = () => 'fine') {
  const ran: string[] = [];
  const made: Task = {
    name: 'trial',
    description: 'a task of this test',
    schedule: '0 0 */6 * * *',
    jitterSeconds: 0,
    firstAfterSeconds: 60,
    deadlineMs: 10 * MINUTE,
    isHeavy: false,
    run: async (signal) => {
      ran.push(clock.text.slice(0, 19));
      return work(signal);
    },
    ...change,
  };
  return { made, ran };
}

async function monitorOf(tasks: readonly Task[], random = () => 0): Promise<PerformanceMonitor> {
  const results = await Results.open(join(folder, 'performance.json'), log);
  const monitor = new PerformanceMonitor({ tasks, results, clock, log, random });
  monitors.push(monitor);
  return monitor;
}

/** Starts it; `pass` lets time pass while every task is given its turns. */
async function begin(tasks: readonly Task[], random?: () => number) {
  const monitor = await monitorOf(tasks, random);
  monitor.start().catch(() => undefined);
  const quiet = () => monitor.states().every((state) => !state.running) && clock.sleepers === tasks.length;
  return { monitor, pass: (ms: number) => clock.pass(ms, quiet) };
}

describe('the schedule', () => {
  it('runs soon after the start when nothing is stored, then by the calendar', async () => {
    const { made, ran } = task();
    const { monitor, pass } = await begin([made]);
    expect(() => monitor.get('trial')).toThrow('result not found');
    await pass(12 * HOUR);
    expect(ran).toEqual(['2026-01-01T01:01:00', '2026-01-01T06:00:00', '2026-01-01T12:00:00']);
    expect(monitor.get('trial')).toEqual({
      name: 'trial',
      description: 'a task of this test',
      timestamp: Date.parse('2026-01-01T12:00:00Z') / 1000,
      result: 'fine',
    });
  });

  it('leaves the first run out when the operator was first', async () => {
    const { made, ran } = task();
    const { monitor, pass } = await begin([made]);
    await monitor.runNow('trial');
    await pass(2 * HOUR);
    expect(ran).toEqual(['2026-01-01T01:00:00']);
  });

  it('keeps results over a restart, in a file of its own user, and does not run early then', async () => {
    const first = task();
    const { monitor, pass } = await begin([first.made]);
    await pass(2 * MINUTE);
    await monitor.stop();
    const path = join(folder, 'performance.json');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ version: 1, results: [{ name: 'trial' }] });

    const second = task();
    const after = await begin([second.made]);
    expect(after.monitor.all()).toMatchObject([{ name: 'trial', result: 'fine' }]);
    await after.pass(4 * HOUR);
    expect(second.ran).toEqual([]);
    await after.pass(HOUR);
    expect(second.ran).toEqual(['2026-01-01T06:00:00']);
  });

  it('begins anew where the file cannot be read, and no longer offers what no task is for', async () => {
    await writeFile(join(folder, 'performance.json'), '{"version":1,"results":[{');
    const { made, ran } = task();
    const { monitor, pass } = await begin([made]);
    await pass(2 * MINUTE);
    expect(ran).toHaveLength(1);
    await monitor.stop();
    const other = await monitorOf([task({ name: 'other' }).made]);
    expect(other.all()).toEqual([]);
    expect(() => other.get('trial')).toThrow('result not found');
  });

  it('delays scheduled runs by chance within the bound, each anew', async () => {
    const { made, ran } = task({ jitterSeconds: 1200, firstAfterSeconds: 0 });
    const chances = [0, 0.5, 0.9999];
    const { pass } = await begin([made], () => chances.shift() ?? 0);
    await pass(18 * HOUR);
    expect(ran).toEqual(['2026-01-01T01:00:00', '2026-01-01T06:00:00', '2026-01-01T12:10:00', '2026-01-01T18:19:59']);
  });

  it('runs once when the calendar is set forward over several times, and goes on from there', async () => {
    const { made, ran } = task({ firstAfterSeconds: 0 });
    const { pass } = await begin([made]);
    await pass(MINUTE);
    clock.set('2026-01-09T07:30:00Z');
    await pass(5 * HOUR);
    expect(ran).toHaveLength(3);
    expect(ran[1]?.slice(0, 15)).toBe('2026-01-09T07:3');
    expect(ran[2]).toBe('2026-01-09T12:00:00');
  });

  it('does not wait for what was planned when the calendar is set back', async () => {
    const { made, ran } = task({ firstAfterSeconds: 0 });
    const { pass } = await begin([made]);
    await pass(MINUTE);
    clock.set('2025-06-01T05:30:00Z');
    await pass(HOUR);
    expect(ran).toEqual(['2026-01-01T01:00:00', '2025-06-01T06:00:00']);
  });
});

describe('a run', () => {
  it('is tried again when it fails, and then left to the next time', async () => {
    const { made, ran } = task({ firstAfterSeconds: 0 }, () => {
      throw new Error('out of order');
    });
    const { monitor, pass } = await begin([made]);
    await pass(5 * HOUR);
    expect(ran).toEqual(['2026-01-01T01:00:00', '2026-01-01T01:01:00', '2026-01-01T01:06:00', '2026-01-01T06:00:00']);
    expect(monitor.states()).toMatchObject([{ lastError: 'out of order', schedule: '0 0 */6 * * *' }]);
    expect(() => monitor.get('trial')).toThrow('result not found');
  });

  it('leaves the former result when it fails', async () => {
    let fails = false;
    const { made } = task({ firstAfterSeconds: 0 }, () => {
      if (fails) throw new Error('no');
      return 1;
    });
    const { monitor, pass } = await begin([made]);
    await pass(MINUTE);
    fails = true;
    await pass(6 * HOUR);
    expect(monitor.get('trial')).toMatchObject({ result: 1, timestamp: Date.parse('2026-01-01T01:00:00Z') / 1000 });
  });

  it('is one at a time for a task, however many ask', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { made, ran } = task({}, () => gate.then(() => 7));
    const monitor = await monitorOf([made]);
    const asked = [monitor.runNow('trial'), monitor.runNow('trial'), monitor.runNow('trial')];
    await until(() => ran.length === 1);
    open();
    for (const result of await Promise.all(asked)) expect(result).toMatchObject({ result: 7 });
    expect(ran).toHaveLength(1);
    await expect(monitor.runNow('nothing')).rejects.toMatchObject({ code: 'perf_task_unknown' });
  });

  it('is alone among heavy ones, and beside light ones', async () => {
    const order: string[] = [];
    const gates = new Map<string, () => void>();
    const one = (name: string, isHeavy: boolean) =>
      task({ name, isHeavy }, async () => {
        order.push(`+${name}`);
        await new Promise<void>((resolve) => gates.set(name, resolve));
        order.push(`-${name}`);
        return null;
      }).made;
    const monitor = await monitorOf([one('a', true), one('b', true), one('c', false)]);
    const all = ['a', 'b', 'c'].map((name) => monitor.runNow(name));
    await until(() => gates.has('a') && gates.has('c'));
    gates.get('a')?.();
    await until(() => gates.has('b'));
    gates.get('b')?.();
    gates.get('c')?.();
    await Promise.all(all);
    expect(order.filter((entry) => !entry.endsWith('c'))).toEqual(['+a', '-a', '+b', '-b']);
    expect(order.indexOf('+c')).toBeLessThan(order.indexOf('-a'));
  });

  it('ends at its deadline; one that does not obey keeps its task from running again', async () => {
    let release: () => void = () => undefined;
    const { made, ran } = task({}, () => new Promise<null>((resolve) => (release = () => resolve(null))));
    const monitor = await monitorOf([made]);
    const asked = monitor.runNow('trial').catch((error: Error) => error.message);
    await clock.pass(11 * MINUTE, () => clock.sleepers > 0 || !monitor.states()[0]?.running);
    expect(await asked).toBe("measurement 'trial' failed: trial was not finished within 600000 ms");
    await expect(monitor.runNow('trial')).rejects.toThrow('given up has not ended yet');
    expect(ran).toHaveLength(1);
    release();
    await turn();
    const again = monitor.runNow('trial');
    await until(() => ran.length === 2);
    release();
    await again;
  });

  it('is told to stop when the daemon stops', async () => {
    const { made, ran } = task(
      {},
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    );
    const monitor = await monitorOf([made]);
    const asked = monitor.runNow('trial').catch((error: Error) => error.message);
    await until(() => ran.length === 1);
    await monitor.stop();
    expect(await asked).toContain('the daemon stops');
  });

  it('fails when its result is larger than may be kept', async () => {
    const { made } = task({}, () => 'x'.repeat(300_000));
    const monitor = await monitorOf([made]);
    await expect(monitor.runNow('trial')).rejects.toThrow('at most 262144 are kept');
  });
});

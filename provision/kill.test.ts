import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ZbusError } from '../modules/zbus/errors.ts';
import { ENGINE_LIMITS } from './engine/limits.ts';
import { planner, provision } from './interface.ts';
import { SqliteJournal } from './store/sqlite.ts';
import { fullDeployment } from './testing/provisiond.ts';
import { bus, host, stand, standForEachTest, tenant } from './testing/stand.ts';
import { at, diskWorkload } from './testing/tenant.ts';

const GIB = 1024 ** 3;
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const WAIT_MS = 30_000;
const children: ChildProcess[] = [];

standForEachTest();

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
});

function launch(stderr: 'inherit' | 'pipe' = 'inherit', broker = stand.redis.broker): ChildProcess {
  const args = [MAIN, '--broker', broker, '--state', stand.folder, '--contract-wait-seconds', '1'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', stderr] });
  child.stdout?.resume();
  children.push(child);
  return child;
}

async function startChild(): Promise<ChildProcess> {
  const child = launch();
  let text = '';
  const ready = new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`provisiond ended with ${code}: ${text}`)));
    child.stdout?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-20_000);
      if (text.includes('"msg":"ready"')) resolve();
    });
  });
  await within(ready, () => `provisiond is not ready: ${text}`);
  return child;
}

/** Throws with what was waited for where that does not come in time. */
async function within<T>(work: Promise<T>, what: () => string): Promise<T> {
  const over = new AbortController();
  const late = sleep(WAIT_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error(`after ${WAIT_MS} ms: ${what()}`);
  });
  late.catch(() => undefined);
  return await Promise.race([work, late]).finally(() => over.abort());
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

type Point = readonly [method: string, when: 'before' | 'after'];

/**
 * Kills the process at each of these points, and starts another after each but the last. Resolves when
 * all were met, by whatever process and in whatever order.
 */
async function killAt(first: ChildProcess, points: readonly Point[], begin: () => void): Promise<void> {
  const left = [...points];
  const done = Promise.withResolvers<void>();
  let child = first;
  let death: Promise<void> | undefined;
  host.hook = async (call, moment) => {
    const index = left.findIndex(([method, when]) => method === call.method && when === moment);
    if (index < 0) return;
    left.splice(index, 1);
    death ??= kill(child).then(() => {
      death = undefined;
      if (left.length === 0) done.resolve();
      else child = launch();
    });
    await death;
  };
  begin();
  await within(done.promise, () => `not yet killed at ${left.join('; ')}, exit of the last: ${child.exitCode}`);
  host.hook = () => {};
}

describe('kill -9 of provisiond', () => {
  // A call that was sent is carried out: each method has one moment in each life. What dies with the process
  // three times is put aside for minutes.
  const lives: ReadonlyArray<{ readonly up: readonly Point[]; readonly down: readonly Point[] }> = [
    {
      up: [
        ['DiskCreate', 'before'],
        ['CreateNR', 'after'],
      ],
      down: [
        ['Unmount', 'before'],
        ['DiskDelete', 'after'],
      ],
    },
    {
      up: [
        ['SetupPrivTap', 'after'],
        ['Run', 'before'],
      ],
      down: [['Unmount', 'after']],
    },
    {
      up: [
        ['Mount', 'after'],
        ['Run', 'after'],
      ],
      down: [['DiskDelete', 'before']],
    },
  ];

  it('at one call after the other ends in the same running deployment, and of a cancelled one in nothing', async () => {
    let child = await startChild();
    for (const [index, { up, down }] of lives.entries()) {
      const contract = BigInt(index + 1);
      await killAt(child, up, () => {
        // The kill may come between the promise and its answer.
        stand.deploy(tenant.contracted(host, contract, fullDeployment())).catch(() => undefined);
      });
      child = await startChild();
      await stand.running(contract);
      const changes = await bus.of(provision).Changes({ twin: 7, contractID: contract });
      expect(changes.filter((one) => one.Result.State === 'ok')).toHaveLength(3);
      expect(host.resources).toHaveLength(6);
      await killAt(child, down, () => host.cancelContract(contract));
      child = await startChild();
      await expect.poll(() => host.resources).toEqual([]);
      await expect.poll(() => bus.of(provision).ListTwins({})).toEqual([]);
    }
    await kill(child);
    const journal = new SqliteJournal(join(stand.folder, 'provisiond', 'journal.sqlite'));
    expect(journal.deployments()).toEqual([]);
    expect(journal.history()).toHaveLength(lives.length);
    journal.close();
  }, 120_000);

  it('while an update is carried out ends in the new version, and the machine is the same', async () => {
    const spare = (version: number, gib: number) => at(version, diskWorkload('spare', gib * GIB));
    let child = await startChild();
    await stand.deploy(tenant.contracted(host, 1n, [...fullDeployment(), spare(0, 1)]));
    await stand.running();
    const machine = host.machines.get('7-1-vm1');
    const moments = [
      ['DiskResize', 'before'],
      ['DiskResize', 'after'],
      ['DiskCreate', 'after'],
    ] as const;
    for (const [index, moment] of moments.entries()) {
      const version = index + 1;
      const others = Array.from({ length: version }, (_, made) => at(made + 1, diskWorkload(`more${made + 1}`, GIB)));
      const update = tenant.deployment(1n, [...fullDeployment(), spare(version, version + 1), ...others], version);
      host.rehash(update);
      // The kill may come between the promise and its answer.
      await killAt(child, [moment], () => {
        stand.update(update).catch(() => undefined);
      });
      child = await startChild();
      await vi.waitFor(
        async () => {
          const { Workloads } = await bus.of(provision).Get({ twin: 7, contractID: 1n });
          expect(Workloads?.map((one) => `${one.Name} ${one.Version} ${one.Result.State}`).slice(3)).toEqual([
            `spare ${version} ok`,
            ...others.map((one) => `${one.name} ${one.version} ok`),
          ]);
        },
        { timeout: 20_000 },
      );
      const changes = await bus.of(provision).Changes({ twin: 7, contractID: 1n });
      const oks = changes.filter((one) => one.Result.State === 'ok').map((one) => `${one.Name} ${one.Version}`);
      expect(new Set(oks).size).toBe(oks.length);
      expect(host.disks.get('7-1-spare')?.size).toBe((version + 1) * GIB);
      expect(host.machines.get('7-1-vm1')).toBe(machine);
    }
  }, 120_000);

  it('is what it takes for another to work by its journal', async () => {
    const child = await startChild();
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    const second = launch('pipe');
    let said = '';
    second.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await within(new Promise((resolve) => second.once('close', resolve)), () => `the second does not end: ${said}`);
    expect(second.exitCode).not.toBe(0);
    expect(said).toContain(`process ${child.pid} works by the journal`);
    // It has answered nobody meanwhile.
    await stand.running();
    await kill(child);
    await startChild();
    expect(await bus.of(provision).ListTwins({})).toEqual([7]);
  }, 120_000);

  it('is not what a broker comes to that is away while it starts: nothing is put aside for that', async () => {
    const child = await startChild();
    const begun = Promise.withResolvers<void>();
    host.hook = ({ method }) => (method === 'Run' ? begun.resolve() : undefined);
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    await within(begun.promise, () => 'no machine is started');
    await kill(child);
    host.hook = () => {};
    const path = join(stand.folder, 'away.sock');
    const away = createServer((socket) => socket.on('error', () => undefined).destroy());
    await new Promise<void>((resolve) => away.listen(path, resolve));
    for (let death = 0; death < ENGINE_LIMITS.poison.crashes; death++) {
      const one = launch('pipe', `unix://${path}`);
      one.stderr?.resume();
      await within(new Promise((resolve) => one.once('exit', resolve)), () => 'it waits for its broker for ever');
      expect(one.exitCode).toBe(1);
    }
    await new Promise((resolve) => away.close(resolve));
    await startChild();
    await stand.running();
  }, 120_000);

  it('tells those who wait for a deployment', async () => {
    const child = await startChild();
    const dead = Promise.withResolvers<void>();
    host.hook = async ({ method }, when) => {
      if (method !== 'Mount' || when !== 'before') return;
      host.hook = () => {};
      await expect
        .poll(async () => (await bus.status('provision')).Workers.some(({ Action }) => /Wait/.test(Action)))
        .toBe(true);
      await kill(child);
      dead.resolve();
    };
    await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
    const waiting = bus
      .of(planner)
      .Wait({ twin: 7, contractID: 1n, version: 0, timeoutMs: 60_000 }, { deadlineMs: 65_000 })
      .catch((error: unknown) => error);
    await within(dead.promise, () => 'nobody is killed while an image is mounted');
    await startChild();
    // The next process answers what the one before had taken.
    const told = await waiting;
    expect(told).toBeInstanceOf(ZbusError);
    expect((told as ZbusError).message).toContain('restarted');
    await stand.running();
  }, 120_000);
});

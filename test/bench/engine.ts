/**
 * Two hundred deployments of a network, a disk and a machine at once, on a journal on disk, over daemons
 * whose every call takes 5 ms; beside the same deployments one after another in the same run, as a node
 * works that has one queue and one worker: the next begins when the one before runs, and each call when
 * the one before was answered.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../modules/zbus/broker.ts';
import { Engine } from '../../provision/engine/engine.ts';
import { ENGINE_LIMITS, type EngineLimits } from '../../provision/engine/limits.ts';
import { Places } from '../../provision/engine/places.ts';
import { SqliteJournal } from '../../provision/store/sqlite.ts';
import { acceptOn } from '../../provision/testing/engine.ts';
import { TestHost } from '../../provision/testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from '../../provision/testing/tenant.ts';
import type { Deployment } from '../../schemas/deployment.ts';

const DEPLOYMENTS = 200;
const CALL_MS = 5;
const MEMORY = '/dev/shm';
const GIB = 1024 ** 3;
const never = new AbortController().signal;
const DISK_BYTES = GIB / 8;
const MACHINE = { cpus: 1_000, memoryBytes: 10_000 * GIB };

/** Everything strictly in turn. */
const ONE_AT_A_TIME: EngineLimits = {
  ...ENGINE_LIMITS,
  lanes: [1, 1],
  steps: { storage: [1, 1], network: [1, 1], flist: [1, 1], machine: [1, 1] },
};

interface Ran {
  readonly ms: number;
  /** Processor time of all this process, daemons and tenants with it. */
  readonly cpuMs: number;
  readonly calls: number;
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const ofMany = deployments((at) => at + 1);
  const ofOne = deployments(() => 1);
  // The first run warms what the others share.
  await withHost(ofMany.slice(0, 20), ENGINE_LIMITS, atOnce);
  const many = await withHost(ofMany, ENGINE_LIMITS, atOnce);
  const one = await withHost(ofOne, ENGINE_LIMITS, atOnce);
  const serial = await withHost(ofMany, ONE_AT_A_TIME, oneAfterAnother, new Places(1));
  return {
    name: 'engine',
    metrics: {
      serial_ms: Math.round(serial.ms),
      at_once_ms: Math.round(many.ms),
      at_once_processor_ms: Math.round(Math.min(many.cpuMs, one.cpuMs)),
      at_once_of_one_twin_ms: Math.round(one.ms),
      times_faster: Math.round((serial.ms / many.ms) * 10) / 10,
      of_one_twin_times_faster: Math.round((serial.ms / one.ms) * 10) / 10,
      calls: many.calls,
    },
  };
}

function deployments(twinOf: (at: number) => number): Deployment[] {
  const tenants = new Map<number, Tenant>();
  return Array.from({ length: DEPLOYMENTS }, (_, at) => {
    const twin = twinOf(at);
    const tenant = tenants.get(twin) ?? new Tenant(twin);
    tenants.set(twin, tenant);
    return tenant.deployment(BigInt(at + 1), [
      machineWorkload('vm1', { network: `net${at}`, mounts: ['disk1'] }),
      networkWorkload(`net${at}`),
      diskWorkload('disk1', DISK_BYTES),
    ]);
  });
}

/** Runs `work` on a host and a journal of its own; throws unless all of it runs at the end. */
async function withHost(
  asked: readonly Deployment[],
  limits: EngineLimits,
  work: (asked: readonly Deployment[], accept: Accept, engine: Engine) => Promise<void>,
  callers = new Places(Number.POSITIVE_INFINITY),
): Promise<Ran> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-engine-'));
  // A call of a daemon takes `CALL_MS`, however slow the disk is; the journal is where it belongs.
  const hostFolder = await mkdtemp(join(MEMORY, 'bench-engine-'));
  const host = new TestHost(hostFolder);
  host.poolBytes = 10_000 * GIB;
  const journal = new SqliteJournal(join(folder, 'journal.sqlite'));
  const guest = { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' };
  const engine = new Engine({ journal, daemons: host.daemons, guest, log: silentLog, limits });
  host.hook = async (_, when) => {
    if (when === 'after') return;
    const release = await callers.take(never, 0);
    await sleep(CALL_MS);
    release();
  };
  try {
    const began = performance.now();
    const before = process.cpuUsage();
    await work(asked, async (deployment) => (await acceptOn(host, journal, deployment, MACHINE)).id, engine);
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(before);
    const states = journal.deployments().flatMap(({ workloads }) => workloads.map(({ state }) => state));
    if (states.length !== 3 * asked.length || states.some((state) => state !== 'ok')) {
      throw new Error(`not every workload runs: ${[...new Set(states)].join(', ')}`);
    }
    return { ms, cpuMs: (user + system) / 1000, calls: host.calls.length };
  } finally {
    await engine.stop();
    journal.close();
    for (const one of [folder, hostFolder]) await rm(one, { recursive: true, force: true });
  }
}

type Accept = (deployment: Deployment) => Promise<string>;

async function atOnce(asked: readonly Deployment[], accept: Accept, engine: Engine): Promise<void> {
  await Promise.all(asked.map(async (deployment) => engine.submit(await accept(deployment))));
  await engine.idle();
}

async function oneAfterAnother(asked: readonly Deployment[], accept: Accept, engine: Engine): Promise<void> {
  for (const deployment of asked) {
    engine.submit(await accept(deployment));
    await engine.idle();
  }
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);

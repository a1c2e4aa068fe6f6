import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../modules/zbus/broker.ts';
import type { Deployment, Workload } from '../schemas/deployment.ts';
import { Acceptor } from './accept.ts';
import { dryRun } from './dry-run.ts';
import type { Engine } from './engine/engine.ts';
import { NodeReader } from './node.ts';
import type { DeploymentRecord, Journal, WorkloadRecord } from './store/journal.ts';
import { changeUnderWay, deploymentId } from './store/journal.ts';
import { MemoryJournal } from './store/memory.ts';
import { brokenPromise, fitsAlone, NaiveHost, type NaiveSize } from './testing/naive.ts';
import { at, diskWorkload, machineWorkload, networkWorkload, Tenant } from './testing/tenant.ts';
import type { Verifier } from './verify.ts';
import { requestOf } from './workloads/index.ts';

const GIB = 1024 ** 3;
const SIZE: NaiveSize = {
  cpus: 4,
  overcommit: 2,
  memoryBytes: 16 * GIB,
  poolBytes: 40 * GIB,
  foreignBytes: 3 * GIB,
};
const signal = new AbortController().signal;
const tenants = [7, 8].map((twin) => new Tenant(twin));

/** Acceptance on a naive host: signatures and contracts are somebody else's tests. */
class World {
  readonly journal: Journal = new MemoryJournal();
  readonly host: NaiveHost;
  readonly node: NodeReader;
  readonly acceptor: Acceptor;

  constructor(delay?: (call: string) => Promise<void>) {
    this.host = new NaiveHost(SIZE, delay);
    this.node = new NodeReader({
      daemons: this.host.daemons,
      journal: this.journal,
      cpuOvercommit: SIZE.overcommit,
      host: SIZE,
    });
    const verifier = {
      document: () => Promise.resolve('current'),
      contract: () => Promise.resolve({ facts: { PublicIPs: 0, RentedBy: 0 }, formula: 'current' }),
    } as unknown as Verifier;
    const engine = {
      submit: () => {},
      until: (_: AbortSignal, isDone: () => boolean) => (isDone() ? Promise.resolve() : new Promise(() => {})),
    } as unknown as Engine;
    const { journal, node } = this;
    this.acceptor = new Acceptor({
      journal,
      engine,
      node,
      verifier,
      log: silentLog,
      onAccepted: () => {},
      busyWaitMs: 1,
    });
  }

  /** The code of the refusal, `''` once accepted. */
  async ask(deployment: Deployment): Promise<string> {
    const { twin_id: twin, version } = deployment;
    const done =
      version === 0
        ? this.acceptor.create(deployment, twin, '', signal)
        : this.acceptor.update(deployment, twin, '', signal);
    return done.then(
      () => '',
      (error: { code: string }) => error.code,
    );
  }

  async wouldFit(deployment: Deployment): Promise<boolean> {
    return (await dryRun(deployment, this, signal)).Fits;
  }

  workloads(
    isSuch: (workload: WorkloadRecord, record: DeploymentRecord) => boolean,
  ): [DeploymentRecord, WorkloadRecord][] {
    return this.journal
      .deployments()
      .flatMap((record) => record.workloads.filter((one) => isSuch(one, record)).map((one) => [record, one] as never));
  }

  /** What the engine would do with one workload, up to `part`. */
  advance([{ id }, workload]: [DeploymentRecord, WorkloadRecord], part: 'half' | 'done' | 'failed'): void {
    const { name, held, state, removal } = workload;
    if (held === undefined) return;
    const change = changeUnderWay(workload);
    const things = (all: typeof held.allocations): void => {
      for (const { resource, bytes } of all) this.host.make(resource, bytes);
    };
    if (removal !== undefined || state === 'error') {
      for (const { resource } of held.allocations) this.host.things.delete(resource);
      if (part === 'done') this.journal.release(id, name);
    } else if (state === 'init') {
      things(held.allocations);
      if (part === 'failed') this.journal.finish(id, name, { state: 'error', message: 'no' });
      if (part === 'done') this.journal.finish(id, name, { state: 'ok', data: '' });
    } else if (change !== undefined) {
      // A disk never shrinks: a change that was carried out is not given up, and no smaller one takes its place.
      const [size = 0] = held.allocations.map((one) => one.bytes);
      const isMade = held.allocations.some(({ resource }) => (this.host.things.get(resource) ?? 0) > size);
      const isSmaller = change.held.allocations.some(({ bytes }) => bytes < size);
      const isGivenUp = isSmaller || (part === 'failed' && !isMade);
      if (!isGivenUp) things(change.held.allocations);
      if (isGivenUp) this.journal.settle(id, name, { state: 'unchanged', message: 'no' });
      else if (part === 'done') this.journal.settle(id, name, { state: 'ok', data: '' });
    }
    const record = this.journal.deployment(id);
    if (record?.cancelled !== undefined && record.workloads.every((one) => one.held === undefined)) {
      this.journal.tombstone(id);
    }
  }
}

const anyDisk = fc.record({ name: fc.constantFrom('d1', 'd2'), gib: fc.integer({ min: 1, max: 24 }) });
const anyMachine = fc.record({
  cpu: fc.integer({ min: 1, max: 5 }),
  gib: fc.integer({ min: 1, max: 9 }),
  ip: fc.constantFrom('10.1.2.5', '10.1.2.6'),
});
const anyWish = fc.record({
  twin: fc.nat(1),
  contract: fc.bigInt({ min: 1n, max: 6n }),
  network: fc.option(fc.record({ name: fc.constantFrom('n1', 'n2'), port: fc.constantFrom(0, 4100, 4200) })),
  disks: fc.uniqueArray(anyDisk, { maxLength: 2, selector: (one) => one.name }),
  machine: fc.option(anyMachine),
});
type Wish = typeof anyWish extends fc.Arbitrary<infer T> ? T : never;

function asked({ twin, contract, network, disks, machine }: Wish): Deployment | undefined {
  const workloads: Workload[] = disks.map((one) => diskWorkload(one.name, one.gib * GIB));
  if (network !== null) workloads.push(networkWorkload(network.name, network.port));
  if (machine !== null && network !== null) {
    const { cpu, gib, ip } = machine;
    workloads.push(machineWorkload('vm', { network: network.name, cpu, memory: gib * GIB, ip }));
  }
  return workloads.length === 0 ? undefined : tenants[twin]?.deployment(contract * 10n + BigInt(twin), workloads);
}

const anyCommand = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('ask' as const), wish: anyWish }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom('half', 'done', 'done', 'done', 'failed'), which: fc.nat() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('grow' as const), which: fc.nat(), gib: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('cancel', 'decommission'), which: fc.nat() }) },
);
type Command = typeof anyCommand extends fc.Arbitrary<infer T> ? T : never;

/** The next version: a disk that runs is larger. */
function grownOf(
  [record, workload]: [DeploymentRecord, WorkloadRecord],
  gib: number,
): [Deployment, number] | undefined {
  const before = workload.held?.allocations[0]?.bytes ?? 0;
  const tenant = tenants.find((one) => one.twin === record.twin);
  if (tenant === undefined || gib * GIB <= before) return undefined;
  if (record.workloads.some((one) => one.removal !== undefined)) return undefined;
  const version = record.version + 1;
  const others = record.workloads
    .filter((one) => one.name !== workload.name && one.state !== 'deleted')
    .map((one) => JSON.parse((one.next ?? one).signed) as Workload)
    .map((one) => ({ ...one, data: JSON.stringify(one.data) }));
  const larger = at(version, diskWorkload(workload.name, gib * GIB));
  const most = (...all: (WorkloadRecord['held'] | undefined)[]): number =>
    Math.max(...all.map((one) => one?.allocations[0]?.bytes ?? 0));
  const underWay = changeUnderWay(workload)?.held;
  const grown = Math.max(most(workload.held, underWay), gib * GIB) - most(workload.held, underWay, workload.next?.held);
  return [tenant.deployment(record.contract, [...others, larger], version), grown];
}

function pick<T>(list: readonly T[], which: number): T | undefined {
  return list[which % Math.max(1, list.length)];
}

function step(world: World, command: Exclude<Command, { kind: 'ask' | 'grow' }>): void {
  const { which } = command as { which: number };
  if (command.kind === 'cancel') {
    const record = pick(world.journal.deployments(), which);
    if (record !== undefined) world.journal.cancel(record.id, 'asked for');
    return;
  }
  const one = pick(
    world.workloads(({ held }) => held !== undefined),
    which,
  );
  if (one === undefined) return;
  if (command.kind === 'decommission') world.journal.decommission(one[0].id, one[1].name, 'asked for');
  else world.advance(one, command.kind as 'half' | 'done' | 'failed');
}

const isRunningDisk = ({ type, state, removal }: WorkloadRecord): boolean =>
  type === 'zmount' && state === 'ok' && removal === undefined;

describe('W20: admission', () => {
  it('takes what fits what is left and nothing else, step by step, as the dry run says', async () => {
    const seen = { accepted: 0, refused: 0, grown: 0, notGrown: 0, superseding: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommand, { minLength: 15, maxLength: 40 }), async (commands) => {
        const world = new World();
        const { host, journal } = world;
        for (const command of commands) {
          if (command.kind === 'ask') {
            const deployment = asked((command as { wish: Wish }).wish);
            if (deployment === undefined) continue;
            const { twin_id: twin, contract_id: contract } = deployment;
            if (journal.deployment(deploymentId(twin, contract)) !== undefined) continue;
            const fits = fitsAlone(host, journal.deployments(), requestOf(deployment).workloads, twin);
            expect(await world.wouldFit(deployment)).toBe(fits);
            const code = await world.ask(deployment);
            expect(code === '', code).toBe(fits);
            seen[fits ? 'accepted' : 'refused'] += 1;
          } else if (command.kind === 'grow') {
            const { which, gib } = command as { which: number; gib: number };
            const disk = pick(world.workloads(isRunningDisk), which);
            const update = disk === undefined ? undefined : grownOf(disk, gib);
            if (disk === undefined || update === undefined || disk[0].cancelled !== undefined) continue;
            const [deployment, grown] = update;
            const fits = fitsAlone(host, journal.deployments(), [], disk[0].twin, grown);
            const would = await world.wouldFit(deployment);
            const code = await world.ask(deployment);
            expect(would).toBe(code === '');
            if (code === 'deployment_busy') continue;
            expect(code === '', code).toBe(fits);
            seen[fits ? 'grown' : 'notGrown'] += 1;
            if (fits && disk[1].next !== undefined) seen.superseding += 1;
          } else {
            step(world, command as never);
          }
          expect(brokenPromise(host, journal.deployments())).toBeUndefined();
        }
      }),
      { numRuns: 600, endOnFailure: true },
    );
    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(20);
  }, 180_000);

  it('never takes more than fits, whatever happens while the node is read', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(anyCommand, { minLength: 4, maxLength: 24 }),
        async (scheduler, commands) => {
          const world = new World(scheduler.scheduleFunction(async () => {}));
          const asking: Promise<unknown>[] = [];
          const check = (): void => expect(brokenPromise(world.host, world.journal.deployments())).toBeUndefined();
          const { task } = scheduler.scheduleSequence(
            commands.map((command) => ({
              label: command.kind,
              builder: () => {
                if (command.kind === 'ask') {
                  const deployment = asked((command as { wish: Wish }).wish);
                  if (deployment !== undefined) {
                    asking.push(
                      world.ask(deployment).then((code) => {
                        if (code === '') accepted += 1;
                        check();
                      }),
                    );
                  }
                } else if (command.kind === 'grow') {
                  const { which, gib } = command as { which: number; gib: number };
                  const disk = pick(world.workloads(isRunningDisk), which);
                  const update = disk === undefined ? undefined : grownOf(disk, gib);
                  if (update !== undefined) asking.push(world.ask(update[0]).then(check));
                } else {
                  step(world, command as never);
                }
                check();
                return Promise.resolve();
              },
            })),
          );
          await scheduler.waitFor(task);
          await scheduler.waitFor(Promise.all(asking));
          check();
        },
      ),
      { numRuns: 2000, endOnFailure: true },
    );
    expect(accepted).toBeGreaterThan(500);
  }, 60_000);
});

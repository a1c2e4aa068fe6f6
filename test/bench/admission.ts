/**
 * What deciding on a deployment costs on a node that holds ten thousand of them, beside one that holds
 * ten: the decision alone; accepting a signed deployment, from its verification to the journal's write
 * on disk, with storaged, networkd and the chain asked over the bus and nothing else under way; and the
 * node's numbers, in process.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chain } from '../../modules/api-gateway/interface.ts';
import { flist } from '../../modules/flistd/interface.ts';
import { network, networkInventory } from '../../modules/networkd/interface.ts';
import { nodeMachine } from '../../modules/noded/interface.ts';
import { storage } from '../../modules/storaged/interface.ts';
import { vmd } from '../../modules/vmd/interface.ts';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { Acceptor } from '../../provision/accept.ts';
import { LatestSnapshot, statisticsService } from '../../provision/capacity-service.ts';
import { Engine } from '../../provision/engine/engine.ts';
import { TwinKeys } from '../../provision/keys.ts';
import { NodeReader } from '../../provision/node.ts';
import { capacityReport } from '../../provision/report.ts';
import { signedWorkload } from '../../provision/store/signed.ts';
import { SqliteJournal } from '../../provision/store/sqlite.ts';
import { fillJournal } from '../../provision/testing/fill.ts';
import { TestHost } from '../../provision/testing/host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from '../../provision/testing/tenant.ts';
import { Verifier } from '../../provision/verify.ts';
import { workloadDrivers } from '../../provision/workloads/index.ts';
import type { Workload } from '../../schemas/deployment.ts';
import { end, start } from './peers/child.ts';

const [FEW, MANY] = [10, 10_000];
const DECISIONS = 3_000;
const ACCEPTED = 200;
const QUESTIONS = 3_000;
const WARMING = 50;
const POOL = 'simulated-ssd';
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const HOST = { cpus: 64_000, memoryBytes: 64 * 1024 * GIB };
const CONTRACTS = 1_000_000n;
const PORTS = 10_000;

interface Costs {
  /** Milliseconds, each. */
  readonly decision: number[];
  readonly update: number[];
  readonly accept: number[];
  readonly statistics: number[];
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const few = await measure(FEW);
  const many = await measure(MANY);
  const metrics: Record<string, number> = {};
  for (const kind of ['decision', 'update', 'accept', 'statistics'] as const) {
    metrics[`${kind}_p50_ms`] = rounded(quantile(many[kind], 0.5));
    metrics[`${kind}_p99_ms`] = rounded(quantile(many[kind], 0.99));
    metrics[`${kind}_ratio`] = rounded(quantile(many[kind], 0.5) / quantile(few[kind], 0.5));
  }
  return { name: 'admission', metrics };
}

/** The costs on a node that holds `count` deployments, each a network, a disk and a machine that run. */
async function measure(count: number): Promise<Costs> {
  const folder = await mkdtemp(join(tmpdir(), 'admission-'));
  const closing: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const path = join(folder, 'journal.sqlite');
    fillJournal(path, count, { pool: POOL });
    const journal = new SqliteJournal(path);
    closing.push(async () => journal.close());
    await writeBooks(join(folder, 'storaged'), journal);
    const redis = await startRedis();
    closing.push(() => redis.stop());
    const { broker } = redis;
    const books = await start(join(import.meta.dirname, 'peers/books.ts'), ['--broker', broker, '--state', folder]);
    closing.push(() => end(books.child));
    const bus = new ZbusClient({ broker });
    closing.push(() => bus.close());
    const host = new TestHost(folder);
    for (const server of host.serve(broker, ['api-gateway'])) {
      await server.start();
      closing.push(() => server.stop());
    }
    const daemons = {
      ...{ storage: bus.of(storage), network: bus.of(network), flist: bus.of(flist), vmd: bus.of(vmd) },
      networkInventory: bus.of(networkInventory),
    };
    const guest = { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' };
    const engine = new Engine({ journal, daemons, guest, log: silentLog });
    closing.push(() => engine.stop());
    const ports = daemons.networkInventory;
    const node = new NodeReader({ daemons, ports, journal, cpuOvercommit: 4, host: HOST });
    const client = bus.of(chain);
    const types = [...workloadDrivers.keys()];
    const verifier = new Verifier({ chain: client, keys: new TwinKeys(client), types, contractWaitMs: 0 });
    const acceptor = new Acceptor({ journal, engine, node, verifier, log: silentLog, onAccepted: () => {} });
    const numbers = new LatestSnapshot(node);
    const statistics = statisticsService(numbers, journal, bus.of(nodeMachine));
    const signal = new AbortController().signal;
    const context = { signal, trace: '' } as never;

    const before = await measured(QUESTIONS, async () => {
      await statistics.GetCounters({}, context);
      capacityReport(await numbers.read(signal), journal.census);
    });
    const decisions = await decide(acceptor, node, journal, signal);
    const tenant = new Tenant(7);
    const accept = await measured(ACCEPTED, async (round) => {
      const contract = CONTRACTS + BigInt(round);
      const deployment = tenant.contracted(host, contract, site(round));
      // What was accepted before is made by daemons that share two processors with this process.
      await engine.idle();
      return () => acceptor.create(deployment, tenant.twin, `trace-${round}`, signal);
    });
    if (journal.deployments().length !== count + ACCEPTED + WARMING) throw new Error('not all were accepted');
    return { ...decisions, accept, statistics: before };
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** The decision alone: on a new deployment, and on a running one whose disk is to grow. */
async function decide(
  acceptor: Acceptor,
  node: NodeReader,
  journal: SqliteJournal,
  signal: AbortSignal,
): Promise<Pick<Costs, 'decision' | 'update'>> {
  const totals = await node.totals({ deadlineMs: 10_000, signal });
  const resources = { ...totals, wireguardPorts: new Set<number>(), gpus: new Set<string>() };
  const paid = { publicIps: 0, rentedBy: 0 };
  const wanted = new Tenant(7).deployment(CONTRACTS, site(0));
  const [running] = journal.deployments();
  if (running === undefined) throw new Error('nothing runs');
  const grown = new Tenant(running.twin).deployment(
    running.contract,
    // As it was signed, but for the disk.
    running.workloads.map((one) =>
      one.type === 'zmount' ? { ...diskWorkload(one.name, 2 * GIB), version: 1 } : signedWorkload(one),
    ),
    1,
  );
  const fits = (plan: { readonly fits: boolean }): void => {
    if (!plan.fits) throw new Error(`it was to fit: ${JSON.stringify(plan)}`);
  };
  return {
    decision: await measured(DECISIONS, async () => fits(acceptor.planOf(wanted, resources, paid).plan)),
    update: await measured(DECISIONS, async () => fits(acceptor.planOf(grown, resources, paid).plan)),
  };
}

/** A network with a port of its own, a disk, and a machine with both. */
function site(round: number): Workload[] {
  const name = `net${round}`;
  return [
    networkWorkload(name, PORTS + round),
    diskWorkload('disk1', 128 * MIB),
    machineWorkload('vm1', { network: name, mounts: ['disk1'] }),
  ];
}

/** storaged's books with everything that the journal holds in them. */
async function writeBooks(folder: string, journal: SqliteJournal): Promise<void> {
  const volumes: Record<string, object> = { vdisks: {} };
  const disks: Record<string, object> = {};
  for (const { workloads } of journal.reservations()) {
    for (const { resource, kind, bytes } of workloads.flatMap((one) => one.allocations)) {
      if (kind === 'disk') disks[resource] = { size: bytes, hasContent: true };
      else volumes[resource] = { limit: bytes };
    }
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${POOL}.json`), JSON.stringify({ volumes, disks }));
}

/** Milliseconds of each round after some that warm up; a round may return the part that counts. */
async function measured(rounds: number, round: (number: number) => Promise<unknown> | unknown): Promise<number[]> {
  const taken: number[] = [];
  for (let number = 0; number < rounds + WARMING; number++) {
    let began = performance.now();
    const part = await round(number);
    if (typeof part === 'function') {
      began = performance.now();
      await (part as () => unknown)();
    }
    if (number >= WARMING) taken.push(performance.now() - began);
  }
  return taken;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);

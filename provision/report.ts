/** The node's numbers in the shapes of the bus. */
import { readFile } from 'node:fs/promises';
import type { Infer } from '../modules/zbus/wire.ts';
import { type Channel, MissedError } from './channel.ts';
import type { CapacityReport, Capacity as CapacityWire, Counters, StepEvent, Waiting } from './interface.ts';
import { type Account, type Capacity, countCapacity, type Snapshot } from './plan/capacity.ts';
import type { Counts, DeploymentRecord, StepEntry } from './store/journal.ts';

type Side = 'total' | 'system' | 'committed' | 'pending' | 'free';

function side(capacity: Capacity, of: Side): Infer<typeof CapacityWire> {
  const { publicIps } = capacity;
  return {
    CRU: capacity.vcpus[of],
    SRU: capacity.ssd[of],
    HRU: capacity.hdd[of],
    MRU: capacity.memory[of],
    IPV4U: of === 'committed' || of === 'pending' ? publicIps[of] : 0,
  };
}

export function capacityReport(snapshot: Snapshot, census: Counts): Infer<typeof CapacityReport> {
  const capacity = countCapacity(snapshot);
  return {
    Total: side(capacity, 'total'),
    System: side(capacity, 'system'),
    Committed: side(capacity, 'committed'),
    Pending: side(capacity, 'pending'),
    Free: side(capacity, 'free'),
    LargestDisk: capacity.largestDiskBytes,
    Pools: capacity.pools.map((pool) => ({
      Name: pool.name,
      Type: pool.media,
      Total: pool.total,
      Reserved: Math.min(pool.total, pool.system + pool.committed + pool.pending),
      Free: pool.free,
      // Disks and volumes lie on SSD alone.
      LargestDisk: pool.media === 'ssd' ? pool.free : 0,
    })),
    LogicalCPUs: snapshot.cpus,
    CPUOvercommit: snapshot.policy.cpuOvercommit,
    Waiting: waitingOf(census),
  };
}

/** What was asked for and is not done yet. */
export function waitingOf(census: Counts): Infer<typeof Waiting> {
  return {
    Deployments: census.waitingDeployments,
    Workloads: census.waitingWorkloads,
    Leaving: census.leavingWorkloads,
    Oldest: census.waitingSince,
  };
}

/** What the grid's clients know as total: logical CPUs, whatever is sold of each. */
export function totalOf(snapshot: Snapshot): Infer<typeof CapacityWire> {
  return { ...side(countCapacity(snapshot), 'total'), CRU: snapshot.cpus, IPV4U: 0 };
}

/** The system's part and every promise, kept or not yet. */
export function usedOf(snapshot: Snapshot): Infer<typeof CapacityWire> {
  const capacity = countCapacity(snapshot);
  const sum = (account: Account): number => account.system + account.committed + account.pending;
  return {
    CRU: sum(capacity.vcpus),
    SRU: sum(capacity.ssd),
    HRU: sum(capacity.hdd),
    MRU: sum(capacity.memory),
    IPV4U: capacity.publicIps.committed + capacity.publicIps.pending,
  };
}

export function countersOf(snapshot: Snapshot, census: Counts, connections: number): Infer<typeof Counters> {
  return {
    Total: totalOf(snapshot),
    Used: usedOf(snapshot),
    System: side(countCapacity(snapshot), 'system'),
    Users: {
      Deployments: census.runningDeployments,
      Workloads: census.runningWorkloads,
      LastDeploymentTimestamp: census.newestRunning,
    },
    OpenConnecions: connections,
  };
}

export function runningWorkloads(record: DeploymentRecord): DeploymentRecord['workloads'] {
  return record.workloads.filter((workload) => workload.state === 'ok' || workload.state === 'paused');
}

export function stepEvent({ twin, contract }: DeploymentRecord, entry: StepEntry): Infer<typeof StepEvent> {
  return {
    TwinID: twin,
    ContractID: contract,
    Workload: entry.workload,
    Step: entry.step,
    State: entry.state,
    Message: entry.message,
    At: entry.at,
    Trace: entry.trace,
  };
}

/** The bus's stream of steps. What it could not take is told with an event of the state `missed`. */
export async function* stepStream(
  steps: Channel<Infer<typeof StepEvent>>,
  signal: AbortSignal,
): AsyncGenerator<Infer<typeof StepEvent>> {
  while (!signal.aborted) {
    try {
      yield* steps.read(signal);
    } catch (error) {
      if (!(error instanceof MissedError)) throw error;
      yield {
        TwinID: 0,
        ContractID: 0n,
        Workload: '',
        Step: '',
        State: 'missed',
        Message: `${error.missed} events are not in this stream; ask for the steps of the deployments you watch`,
        At: Date.now(),
        Trace: '',
      };
    }
  }
}

/** State field of an established connection in the kernel's table. */
const ESTABLISHED = '01';

/** Established TCP connections of the host's network namespace. */
export async function openConnections(): Promise<number> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const lines = tables.flatMap((table) => table.split('\n').slice(1));
  return lines.filter((line) => line.trim().split(/\s+/)[3] === ESTABLISHED).length;
}

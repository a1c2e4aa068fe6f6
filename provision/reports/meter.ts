/** Samples the counters of public traffic: by schedule, and around the end of each machine. */
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { MachineMetrics, vmd } from '../../modules/vmd/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { DeploymentId } from '../store/journal.ts';
import type { TrafficReading, TrafficTable } from './traffic-table.ts';

export type Machines = Client<typeof vmd>;

const FINAL_SAMPLE_MS = 5_000;
const SAMPLE_MS = 60_000;

export interface MeterOptions {
  readonly machines: Pick<Machines, 'Metrics'>;
  readonly table: TrafficTable;
  readonly log: BusLog;
  /** Names the life of the machine that the node runs on: counters begin anew with it. */
  readonly epoch?: () => Promise<string>;
  /** Seconds since 1970, which do not jump. */
  readonly now?: () => number;
  /** Milliseconds that a sample before the end of a machine may take: it does not hold up the end. */
  readonly finalSampleMs?: number;
}

/** The deployment of a machine's name; undefined for machines that are no workloads. */
function deploymentOf(name: string): DeploymentId | undefined {
  return /^(\d+-\d+)-[^-]+$/.exec(name)?.[1];
}

export class Meter {
  readonly #options: MeterOptions;
  readonly #now: () => number;
  #sampling: Promise<void> = Promise.resolve();
  /** A sample that has not begun serves everyone who asks until it does. */
  #coming: Promise<void> | undefined;
  /** Machines that ended since the sample under way began: it may tell of them as they were. */
  #ended = new Set<string>();
  /** Workloads of the last sample. */
  #present: ReadonlySet<string> = new Set();

  constructor(options: MeterOptions) {
    this.#options = options;
    this.#now = options.now ?? steadySeconds();
  }

  /** Reads and adds, one sample at a time. Throws `ZbusError`, or what the disk says. */
  sample(calling: { readonly deadlineMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#coming !== undefined) return this.#coming;
    const turn = this.#sampling.then(async () => {
      this.#coming = undefined;
      const ended = new Set<string>();
      this.#ended = ended;
      const metrics = await this.#options.machines.Metrics({}, { deadlineMs: SAMPLE_MS, ...calling });
      const epoch = await (this.#options.epoch ?? bootId)();
      const read = readingsOf(metrics, epoch);
      // Of a full node each of these takes its time.
      await nextTurn();
      const readings = read.filter(({ workload }) => !ended.has(workload));
      this.#options.table.sample(readings, this.#now());
      this.#present = new Set(readings.map(({ workload }) => workload));
    });
    this.#coming = turn;
    this.#sampling = turn.catch(() => undefined);
    return turn;
  }

  /** Forgets the counters of machines that are gone with their deployments. */
  sweep(isAlive: (id: DeploymentId) => boolean): void {
    for (const { workload, deployment } of this.#options.table.counters()) {
      if (!this.#present.has(workload) && !isAlive(deployment)) this.#options.table.forgetCounter(workload);
    }
  }

  /** The same machines; what one has sent and received is counted before its counter goes. */
  metered(machines: Machines): Machines {
    return {
      ...machines,
      Delete: async (args, calling) => {
        await this.#lastSample(args.name);
        await machines.Delete(args, calling);
        this.#ended.add(args.name);
        try {
          // One of that name that comes later begins at zero.
          this.#options.table.forgetCounter(args.name);
        } catch (error) {
          this.#options.log.error({ err: error, machine: args.name }, 'the counter of a machine that is gone stays');
        }
      },
    };
  }

  /** A machine goes whether it could be sampled or not. */
  async #lastSample(machine: string): Promise<void> {
    if (deploymentOf(machine) === undefined) return;
    const { finalSampleMs: deadlineMs = FINAL_SAMPLE_MS } = this.#options;
    try {
      const late = new AbortController();
      const tooLate = sleep(deadlineMs, undefined, { signal: late.signal }).then(() => {
        throw new Error(`its counter was not read within ${deadlineMs} ms`);
      });
      // One that began before may take longer.
      await Promise.race([this.sample({ deadlineMs }), tooLate]).finally(() => {
        tooLate.catch(() => undefined);
        late.abort();
      });
    } catch (error) {
      this.#options.log.error({ err: error, machine }, 'the last traffic of a machine is not counted');
    }
  }
}

/** Both directions of public interfaces; private networks are free, as on every node of the grid. */
export function readingsOf(metrics: Infer<typeof MachineMetrics>, epoch: string): TrafficReading[] {
  return [...(metrics ?? [])].flatMap(([workload, { Public }]) => {
    const deployment = deploymentOf(workload);
    const bytes = Number(Public.NetRxBytes) + Number(Public.NetTxBytes);
    return deployment === undefined ? [] : [{ workload, deployment, bytes, epoch }];
  });
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
}

/** The clock of the start, which then runs by itself: nobody sets it. */
function steadySeconds(): () => number {
  const start = Date.now() - performance.now();
  return () => Math.floor((start + performance.now()) / 1000);
}

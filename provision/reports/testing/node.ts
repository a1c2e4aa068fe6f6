/** A node that counts and tells, and can be killed at every write of its file. */
import { rmSync } from 'node:fs';
import { silentLog } from '../../../modules/zbus/broker.ts';
import { zero } from '../../../modules/zbus/codec.ts';
import { NetMetric } from '../../../modules/zbus/gridtypes.ts';
import { type Machines, Meter } from '../meter.ts';
import { ReportStore } from '../store.ts';
import { TRAFFIC_LIMITS, TrafficReporter } from '../traffic.ts';
import type { TrafficReport, TrafficTable } from '../traffic-table.ts';
import type { ModelChain } from './model-chain.ts';

/** The process died here. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

const WRITES = ['sample', 'cut', 'begin', 'included', 'settle', 'refused', 'giveUp', 'forgetCounter'] as const;
export type Write = (typeof WRITES)[number];

const WINDOW_SECONDS = 60;

export class TestNode {
  readonly chain: ModelChain;
  readonly #path: string;
  #store: ReportStore;
  #meter: Meter;
  #reporter: TrafficReporter;
  #isDead = false;
  readonly counters = new Map<string, number>();
  readonly alive = new Set<string>();
  epoch = 1;
  seconds: number;
  /** How long what the counters stood at is on its way. */
  answered: () => Promise<void> = async () => undefined;
  /** How long a machine's end takes. */
  ended: () => Promise<void> = async () => undefined;
  /** Asked before and after each write. */
  kills: (write: Write, when: 'before' | 'after') => boolean = () => false;

  constructor(path: string, chain: ModelChain, seconds = 10_000) {
    this.seconds = seconds;
    this.#path = path;
    this.chain = chain;
    [this.#store, this.#meter, this.#reporter] = this.#open();
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get table(): TrafficTable {
    return this.#store.traffic;
  }

  get reporter(): TrafficReporter {
    return this.#reporter;
  }

  /** vmd as provisiond has it. */
  get machines(): Machines {
    const vmd = {
      Metrics: async () => this.#metrics(),
      Delete: async ({ name }: { readonly name: string }) => {
        if (this.#isDead) throw new Killed('Delete');
        await this.ended();
        this.counters.delete(name);
      },
    };
    return this.#meter.metered(vmd as unknown as Machines);
  }

  /** Everything in memory is gone. */
  restart(): void {
    this.#isDead = false;
    this.#store.close();
    [this.#store, this.#meter, this.#reporter] = this.#open();
  }

  sample(): Promise<void> {
    return this.#meter.sample();
  }

  cut(): void {
    const table = this.#guarded(this.#store.traffic);
    table.cut(WINDOW_SECONDS, (id) => !this.alive.has(id), this.seconds * 1000);
  }

  turn(): Promise<'idle' | 'later' | 'done'> {
    return this.#reporter.turn(new AbortController().signal);
  }

  /** Until nothing is open: the chain answers, and makes blocks. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 2_000; turn += 1) {
      const state = await this.turn();
      if (state === 'idle') return;
      this.chain.seal(true);
      this.chain.finalize();
    }
    throw new Error('reports do not come to an end');
  }

  close(): void {
    this.#store.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.#path + suffix, { force: true });
  }

  waiting(): TrafficReport[] {
    return this.table.queued(10_000);
  }

  #metrics() {
    return new Map(
      [...this.counters].map(([name, bytes]) => {
        const half = Math.floor(bytes / 2);
        return [
          name,
          {
            Private: { ...zero(NetMetric), NetRxBytes: 5 },
            Public: { ...zero(NetMetric), NetRxBytes: half, NetTxBytes: bytes - half },
          },
        ];
      }),
    );
  }

  #open(): [ReportStore, Meter, TrafficReporter] {
    const { store } = ReportStore.open(this.#path);
    const table = this.#guarded(store.traffic);
    const meter = new Meter({
      machines: {
        Metrics: async () => {
          const metrics = this.#metrics();
          await this.answered();
          return metrics;
        },
      },
      table,
      log: silentLog,
      epoch: async () => String(this.epoch),
      finalSampleMs: 50,
      now: () => this.seconds,
    });
    const reporter = new TrafficReporter({
      meter,
      table,
      chain: this.chain.client,
      isAlive: (id) => this.alive.has(id),
      log: silentLog,
      limits: { ...TRAFFIC_LIMITS, windowSeconds: WINDOW_SECONDS, retryMs: [0, 0] },
    });
    return [store, meter, reporter];
  }

  /** Whoever takes the error for a failure of the disk does nothing any more. */
  #dieAt(write: Write, when: 'before' | 'after'): void {
    this.#isDead ||= this.kills(write, when);
    if (this.#isDead) throw new Killed(write);
  }

  #guarded(table: TrafficTable): TrafficTable {
    return new Proxy(table, {
      get: (target, name) => {
        const found: unknown = Reflect.get(target, name, target);
        if (typeof found !== 'function') return found;
        const write = WRITES.find((one) => one === name);
        return (...args: unknown[]) => {
          if (write !== undefined) this.#dieAt(write, 'before');
          const result: unknown = found.apply(target, args);
          if (write !== undefined) this.#dieAt(write, 'after');
          return result;
        };
      },
    });
  }
}

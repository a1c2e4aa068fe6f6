/** Engines that die at a chosen write of their journal, for tests of what the next one makes of it. */
import type { Engine } from '../engine/engine.ts';
import { JOURNAL_WRITES } from '../store/failing.ts';
import type { Journal } from '../store/journal.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import type { Daemons } from '../workloads/workload.ts';

/** What the engine writes of its own accord. */
const ENGINE_WRITES: ReadonlySet<string> = new Set(
  JOURNAL_WRITES.filter((name) => !['accept', 'revise', 'decommission'].includes(name)),
);

export interface LifeOptions {
  /** Of the journal, which outlives this life. */
  readonly path: string;
  /** Number of the write at which it dies, from 1. */
  readonly dieAtWrite: number;
  readonly when: 'before' | 'after';
  readonly daemons: Daemons;
  readonly startEngine: (journal: Journal, daemons: Daemons) => Engine;
}

/** One life of provisiond: from `die` on nothing it does reaches the journal or the host. */
export class Life {
  readonly journal: Journal;
  readonly engine: Engine;
  #isDead = false;
  #writes = 0;

  constructor({ path, dieAtWrite, when, daemons, startEngine }: LifeOptions) {
    const journal = new SqliteJournal(path);
    this.journal = new Proxy(journal as Journal, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        if (!ENGINE_WRITES.has(String(property))) return value.bind(target);
        return (...args: unknown[]): unknown => {
          if (this.#isDead) throw new Error('dead');
          this.#writes += 1;
          const isLast = this.#writes === dieAtWrite;
          if (isLast && when === 'before') this.die();
          const result: unknown = value.apply(target, args);
          if (isLast && when === 'after') this.die();
          return result;
        };
      },
    });
    this.engine = startEngine(this.journal, this.#mortal(daemons));
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  die(): never {
    this.#isDead = true;
    throw new Error('dead');
  }

  #mortal(daemons: Daemons): Daemons {
    const wrap = <T extends object>(client: T): T =>
      new Proxy(client, {
        get: (target, method) => (args: unknown, options: unknown) => {
          if (this.#isDead) return Promise.reject(new Error('dead'));
          const act = Reflect.get(target, method) as (a: unknown, o: unknown) => unknown;
          return act(args, options);
        },
      });
    return {
      storage: wrap(daemons.storage),
      network: wrap(daemons.network),
      networkInventory: wrap(daemons.networkInventory),
      flist: wrap(daemons.flist),
      vmd: wrap(daemons.vmd),
    };
  }
}

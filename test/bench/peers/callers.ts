/** Drives the process of `caller.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { KeyType } from '../../../gateway/rmb/index.ts';

export type CallerOrder =
  | { readonly prepare: number; readonly twin: number; readonly command: string }
  /** Requests on their way at any moment. */
  | { readonly lanes: number }
  /** Requests that are due in the first `skipMs` count for nothing but the load. */
  | { readonly perSecond: number; readonly skipMs: number };

export interface CallerResult {
  readonly sent: number;
  /** From the first request to the last answer. */
  readonly seconds: number;
  /** Milliseconds to each answer, of those that are responses, and of those that are errors. */
  readonly accepted: readonly number[];
  readonly refused: readonly number[];
  /** How many refusals had which number. */
  readonly codes: Readonly<Record<string, number>>;
  readonly unanswered: number;
}

const DEADLINE_MS = 120_000;

export class Callers {
  readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static async start(relay: string, keyType: KeyType): Promise<Callers> {
    const callers = new Callers(fork(join(import.meta.dirname, 'caller.ts'), [relay, keyType]));
    await callers.#message();
    return callers;
  }

  /** Signs `count` requests beforehand. */
  async prepare(twin: number, command: string, count: number): Promise<void> {
    await this.#order({ prepare: count, twin, command });
  }

  /** Sends what was prepared; a new one for each answer. */
  closed(lanes: number): Promise<CallerResult> {
    return this.#order({ lanes });
  }

  /** Sends what was prepared at a steady rate, whatever comes back. */
  open(perSecond: number, skipMs = 0): Promise<CallerResult> {
    return this.#order({ perSecond, skipMs });
  }

  async #order(order: CallerOrder): Promise<CallerResult> {
    const answer = this.#message();
    this.child.send(order);
    return (await answer) as CallerResult;
  }

  async #message(): Promise<unknown> {
    const waiting = new AbortController();
    const { signal } = waiting;
    const timer = setTimeout(() => waiting.abort(new Error('the callers are out of time')), DEADLINE_MS);
    try {
      return await Promise.race([
        once(this.child, 'message', { signal }).then(([message]) => message as unknown),
        once(this.child, 'exit', { signal }).then(([code]) => {
          throw new Error(`the callers ended with status ${code}`);
        }),
      ]);
    } finally {
      clearTimeout(timer);
      waiting.abort();
    }
  }
}

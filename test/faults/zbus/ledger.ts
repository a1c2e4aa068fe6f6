/** What was asked, what ran and how each call ended; and what may never be true of them together. */
import { isZbusError } from '../../../modules/zbus/errors.ts';

interface Entry {
  readonly id: string;
  readonly deadlineMs: number;
  readonly askedAt: number;
  runs: number;
  ends: number;
  end: string;
  endedAfterMs: number;
}

/** A caller waits this much beyond its deadline: for its withdrawal, and for a busy machine. */
const LATE_MS = 6_000;
const UNRUN = /will not run|was not run|gave the call up before it was started|was not sent/;
const KINDS: ReadonlySet<string> = new Set([
  'no_such_module',
  'busy',
  'call_failed',
  'bus_lost',
  'deadline',
  'cancelled',
]);

export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly #strange: string[] = [];
  /** How calls ended, counted. */
  readonly ends = new Map<string, number>();

  get size(): number {
    return this.#entries.size;
  }

  /** A handler begins. */
  runs(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) this.#strange.push(`a handler ran for ${id}, which nobody asked`);
    else entry.runs += 1;
  }

  /** Follows one call to its end; never rejects. */
  async follow(id: string, deadlineMs: number, call: () => Promise<string>): Promise<void> {
    const entry: Entry = { id, deadlineMs, askedAt: performance.now(), runs: 0, ends: 0, end: '', endedAfterMs: 0 };
    this.#entries.set(id, entry);
    const end = (text: string, label: string): void => {
      entry.ends += 1;
      entry.end = text;
      entry.endedAfterMs = performance.now() - entry.askedAt;
      this.ends.set(label, (this.ends.get(label) ?? 0) + 1);
    };
    await call().then(
      (answer) => {
        if (answer !== id) this.#strange.push(`${id} got the answer of ${answer}`);
        end('answer', 'answer');
      },
      (error: unknown) => {
        if (!isZbusError(error)) this.#strange.push(`${id} ended with an error without a type: ${String(error)}`);
        else if (!KINDS.has(error.kind)) this.#strange.push(`${id} ended with ${error.kind}: ${error.message}`);
        end(String((error as Error).message), isZbusError(error) ? error.kind : 'untyped');
      },
    );
  }

  /** Everything that should not be; empty when all is well. */
  faults(): string[] {
    return [...this.#strange, ...[...this.#entries.values()].flatMap((entry) => faultsOf(entry))];
  }
}

function faultsOf({ id, deadlineMs, runs, ends, end, endedAfterMs }: Entry): string[] {
  const faults: string[] = [];
  if (ends !== 1) faults.push(`${id} ended ${ends} times`);
  if (runs > 1) faults.push(`${id} ran ${runs} times (${end})`);
  if (end === 'answer' && runs !== 1) faults.push(`${id} was answered and ran ${runs} times`);
  if (UNRUN.test(end) && runs !== 0) faults.push(`${id} ran ${runs} times and its caller was told: ${end}`);
  if (endedAfterMs > deadlineMs + LATE_MS) {
    faults.push(`${id} ended ${Math.round(endedAfterMs)} ms after it was asked, its deadline was ${deadlineMs} ms`);
  }
  return faults;
}

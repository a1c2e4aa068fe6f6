/** The Go program `peer` as a process: either side of the bus with the node's own library. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { end } from '../../bench/peers/child.ts';

const READY_DEADLINE_MS = 60_000;
/** Beyond the deadline that the program itself was given: its library looks at it once a second. */
const ANSWER_MARGIN_MS = 20_000;

export interface GoOrder {
  /** `module.object@version`, or a module for its status. */
  readonly object: string;
  /** Empty for the status. */
  readonly method: string;
  /** Hexadecimal in the library's encoding. */
  readonly args?: readonly string[];
  /** Without the stub, which panics where the library's client returns an error. */
  readonly raw?: boolean;
  readonly deadlineMs?: number;
}

export interface GoOutcome {
  readonly results: readonly string[] | null;
  /** The error that the method returned. */
  readonly error?: string;
  /** What the library said, or the panic of a stub. */
  readonly failure?: string;
  readonly status?: {
    readonly objects: ReadonlyArray<{ readonly Name: string; readonly Version: string }>;
    readonly workers: ReadonlyArray<{ readonly state: string; readonly time: string; readonly action?: string }>;
  };
}

/** A call that the serving program took. */
export interface GoTaken {
  readonly object: string;
  readonly method: string;
  readonly args: readonly string[];
}

/** Outcomes of each object's methods: one after the other, the last one for ever. */
export type Prepared = Record<
  string,
  Record<string, ReadonlyArray<{ results?: readonly string[]; error?: string; delayMs?: number }>>
>;

type Said = { msg?: string; objects?: string[]; id?: number } & GoOutcome & Partial<GoTaken>;

export class GoPeer {
  /** Interfaces that the program knows, where it is the client. */
  objects: readonly string[] = [];
  /** Calls that came, where it is the server. */
  readonly taken: GoTaken[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (outcome: GoOutcome) => void>();
  #lastId = 0;
  #words = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(file: string, broker: string, prepared?: Prepared): Promise<GoPeer> {
    const child = spawn(file, [prepared === undefined ? 'client' : 'serve', broker]);
    const peer = new GoPeer(child);
    child.stdin.on('error', () => undefined);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      peer.#words = (peer.#words + text).slice(-4000);
      if (process.env.TEST_LOG !== undefined) process.stderr.write(text);
    });
    try {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error(`not ready: ${peer.#words}`)), READY_DEADLINE_MS);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`ended with ${code}: ${peer.#words}`)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const said = JSON.parse(line) as Said;
        if (said.msg !== 'ready') return peer.#hear(said);
        peer.objects = said.objects ?? [];
        resolve();
      });
      if (prepared !== undefined) child.stdin.write(`${JSON.stringify(prepared)}\n`);
      await promise.finally(() => clearTimeout(timer));
    } catch (error) {
      await end(child);
      throw new Error(`${file} did not start`, { cause: error });
    }
    return peer;
  }

  async call({ object, method, args = [], raw = false, deadlineMs = 10_000 }: GoOrder): Promise<GoOutcome> {
    this.#lastId += 1;
    const id = this.#lastId;
    return await new Promise((resolve, reject) => {
      const failed = (): void => reject(new Error(`no word of ${object}.${method} from the program: ${this.#words}`));
      const timer = setTimeout(failed, deadlineMs + ANSWER_MARGIN_MS);
      this.#waiting.set(id, (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      });
      this.#child.stdin?.write(`${JSON.stringify({ id, object, method, args, raw, deadlineMs })}\n`);
    });
  }

  /** Kills it. */
  async stop(): Promise<void> {
    await end(this.#child);
  }

  #hear({ id, object, method, args, ...outcome }: Said): void {
    if (id === undefined) {
      this.taken.push({ object: object ?? '', method: method ?? '', args: args ?? [] });
      return;
    }
    this.#waiting.get(id)?.(outcome);
    this.#waiting.delete(id);
  }
}

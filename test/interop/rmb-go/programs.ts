/** The Go programs of this folder as processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { end } from '../../bench/peers/child.ts';

const READY_DEADLINE_MS = 90_000;
/** Beyond the deadline that the program itself was given. */
const ANSWER_MARGIN_MS = 30_000;

export interface ProgramOptions {
  /** The program's file. */
  readonly file: string;
  readonly args: readonly string[];
  /** Proxy for what it opens on other hosts than this one. */
  readonly proxy?: string;
}

export interface GoCall {
  readonly twin: number;
  readonly session?: string;
  readonly command: string;
  readonly payload?: unknown;
  readonly deadlineMs?: number;
}

export type GoOutcome = { readonly result: unknown } | { readonly error: string };

/** A running program that said it is ready. */
export class GoProgram {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (outcome: GoOutcome) => void>();
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(options: ProgramOptions): Promise<GoProgram> {
    const { file, args, proxy = '' } = options;
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: '', no_proxy: '' },
    });
    const program = new GoProgram(child);
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-4000);
      if (process.env.TEST_LOG !== undefined) process.stderr.write(text);
    });
    child.stdin?.on('error', () => undefined);
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`not ready: ${words}`)), READY_DEADLINE_MS);
        const finish = (settle: () => void): void => {
          clearTimeout(timer);
          settle();
        };
        child.once('error', (error) => finish(() => reject(error)));
        child.once('exit', (code) => finish(() => reject(new Error(`ended with ${code}: ${words}`))));
        createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
          const said = JSON.parse(line) as { msg?: string; id?: number } & GoOutcome;
          if (said.msg === 'ready') finish(resolve);
          else program.#settle(said.id, said);
        });
      });
    } catch (error) {
      await end(child);
      throw new Error(`${file} did not start`, { cause: error });
    }
    return program;
  }

  #settle(id: number | undefined, { id: _id, ...outcome }: { id?: number } & GoOutcome): void {
    const wake = this.#waiting.get(id ?? 0);
    this.#waiting.delete(id ?? 0);
    wake?.(outcome as GoOutcome);
  }

  /** Lets the client make one call; what the library gave or how it failed. */
  async call({ twin, session, command, payload, deadlineMs = 30_000 }: GoCall): Promise<GoOutcome> {
    this.#lastId += 1;
    const id = this.#lastId;
    const order = { id, twin, session: session ?? null, command, payload, deadlineMs };
    return await new Promise((resolve, reject) => {
      const failed = (): void => reject(new Error(`no word of ${command} from the program`));
      const timer = setTimeout(failed, deadlineMs + ANSWER_MARGIN_MS);
      this.#waiting.set(id, (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      });
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }

  async stop(): Promise<void> {
    await end(this.#child);
  }
}

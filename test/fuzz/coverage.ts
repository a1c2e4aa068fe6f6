/** Which blocks of our source were run, as V8 counts them: inputs that reach a new block are worth keeping. */
import { Session } from 'node:inspector/promises';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #ours: RegExp;

  /** `ours`: files whose blocks count, as a pattern of their URL. */
  constructor(ours: RegExp) {
    this.#ours = ours;
  }

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Blocks run since the last call. */
  async take(): Promise<Set<string>> {
    const { result } = (await this.#session.post('Profiler.takePreciseCoverage')) as { result: readonly Script[] };
    const blocks = new Set<string>();
    for (const { url, functions } of result) {
      if (!this.#ours.test(url)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) blocks.add(`${url}:${startOffset}-${endOffset}`);
        }
      }
    }
    return blocks;
  }

  stop(): void {
    this.#session.disconnect();
  }
}

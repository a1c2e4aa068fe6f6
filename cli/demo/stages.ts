/** Progress of the demo: one line a stage, live on a terminal, with its time. */

export interface StageTime {
  readonly stage: string;
  readonly ms: number;
}

export class Stages {
  readonly times: StageTime[] = [];
  readonly #write: (text: string) => void;
  readonly #live: boolean;

  /** `quiet` keeps the times and prints nothing. */
  constructor(options: { readonly quiet: boolean }) {
    this.#live = !options.quiet && process.stderr.isTTY === true;
    this.#write = options.quiet ? () => undefined : (text) => process.stderr.write(text);
  }

  /** Runs one stage; `note` may change what its line says while it runs. */
  async run<T>(stage: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const elapsed = (): number => Math.round(performance.now() - startedAt);
    let detail = '';
    const draw = (): void =>
      this.#write(`\r\x1b[2K  … ${stage}${detail === '' ? '' : `: ${detail}`} ${(elapsed() / 1000).toFixed(1)} s`);
    const ticker = this.#live ? setInterval(draw, 100) : undefined;
    const note = (text: string): void => {
      detail = text;
      if (!this.#live) this.#write(`    ${stage}: ${text}\n`);
    };
    try {
      const result = await work(note);
      this.times.push({ stage, ms: elapsed() });
      this.#write(`${this.#live ? '\r\x1b[2K' : ''}  ok ${stage} ${elapsed()} ms\n`);
      return result;
    } catch (error) {
      this.#write(`${this.#live ? '\r\x1b[2K' : ''}  failed ${stage} after ${elapsed()} ms\n`);
      throw error;
    } finally {
      clearInterval(ticker);
    }
  }

  say(text: string): void {
    this.#write(`${text}\n`);
  }
}

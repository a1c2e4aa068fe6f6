/** The processes that serve one module: each says so, hears of the others and takes over what a dead one left. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { BusLog } from './broker.ts';
import type { Line } from './line.ts';

const ALIVE_SECONDS = 10;
const RENEW_MS = 3_000;

export interface InstancesOptions {
  readonly line: Line;
  readonly module: string;
  readonly log: BusLog;
  /** Where calls lie that this process has taken. */
  readonly works: () => readonly string[];
  /** Answers the calls of a process that is gone. */
  readonly takeOver: (work: string) => Promise<void>;
}

interface Instance {
  readonly host: string;
  readonly pid: number;
  readonly works: readonly string[];
}

export class Instances {
  /** This process's own; no two share a list of taken calls, so neither can run a call of the other. */
  readonly id = randomUUID();
  readonly #options: InstancesOptions;
  readonly #registry: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#registry = `${options.module}:instances`;
  }

  /** Registers this process and takes over from dead ones; both again every 3 s. */
  async join(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#renew().catch((error: unknown) =>
        this.#options.log.debug({ reason: String(error) }, 'could not look for other processes of the module'),
      );
    }, RENEW_MS);
    this.#timer.unref();
    await this.#renew();
  }

  /** A call that is taken must be found after a crash, so this comes before the first one. */
  async register(): Promise<void> {
    const { line, works } = this.#options;
    const instance: Instance = { host: hostname(), pid: process.pid, works: works() };
    await Promise.all([
      line.send('SET', this.#life(this.id), '', 'EX', ALIVE_SECONDS),
      line.send('HSET', this.#registry, this.id, JSON.stringify(instance)),
    ]);
  }

  /** Looks no more. What this process took is left to the next one. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Leaves calls behind: whoever looks next answers them at once. */
  async expire(): Promise<void> {
    await this.#options.line.send('DEL', this.#life(this.id));
  }

  /** After all calls were answered or put back. */
  async leave(): Promise<void> {
    const { line } = this.#options;
    await Promise.all([line.send('HDEL', this.#registry, this.id), line.send('DEL', this.#life(this.id))]);
  }

  async #renew(): Promise<void> {
    const { line, log, takeOver } = this.#options;
    await this.register();
    const entries = (await line.send('HGETALL', this.#registry)) as Buffer[];
    for (let index = 0; index < entries.length; index += 2) {
      const id = String(entries[index]);
      if (id === this.id) continue;
      const instance = read(entries[index + 1]);
      const alive = Number(await line.send('EXISTS', this.#life(id))) === 1 && !isGone(instance);
      if (alive) {
        log.error(
          { module: this.#options.module, other: instance },
          'ANOTHER PROCESS SERVES THIS MODULE: calls go to either of the two; stop one of them',
        );
        continue;
      }
      for (const work of instance.works) await takeOver(work);
      await Promise.all([line.send('HDEL', this.#registry, id), line.send('DEL', this.#life(id))]);
    }
  }

  #life(id: string): string {
    return `${this.#options.module}:instance:${id}`;
  }
}

function read(value: unknown): Instance {
  try {
    const { host, pid, works } = JSON.parse(String(value)) as Partial<Instance>;
    return { host: host ?? '', pid: pid ?? 0, works: Array.isArray(works) ? works.map(String) : [] };
  } catch {
    return { host: '', pid: 0, works: [] };
  }
}

/** A process of this host that is no more has crashed; its ten seconds need not pass. */
function isGone({ host, pid }: Instance): boolean {
  if (host !== hostname() || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EPERM';
  }
}

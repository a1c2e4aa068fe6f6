/** Tells when two processes serve one module: they would compete for calls and double every event. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { BusLog } from './broker.ts';

const LOCK_SECONDS = 10;
const RENEW_MS = 3_000;

/** What the lock needs of a connection. */
interface Keys {
  get(key: string): Promise<string | null>;
  set(key: string, value: string, unit: 'EX', seconds: number): Promise<unknown>;
  del(key: string): Promise<unknown>;
}

export class InstanceLock {
  readonly #key: string;
  readonly #value = JSON.stringify({ id: randomUUID(), host: hostname(), pid: process.pid });
  readonly #redis: Keys;
  readonly #log: BusLog;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Keys, module: string, log: BusLog) {
    this.#redis = redis;
    this.#key = `${module}:instance`;
    this.#log = log;
  }

  /** Whether this process is the only one that serves the module, as far as can be told. */
  async take(): Promise<boolean> {
    this.#timer = setInterval(() => {
      this.#renew().catch((error: unknown) =>
        this.#log.debug({ reason: String(error) }, 'could not renew the instance lock'),
      );
    }, RENEW_MS);
    this.#timer.unref();
    return await this.#renew();
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    if ((await this.#redis.get(this.#key)) === this.#value) await this.#redis.del(this.#key);
  }

  async #renew(): Promise<boolean> {
    const holder = await this.#redis.get(this.#key);
    if (holder !== null && holder !== this.#value && isAlive(holder)) {
      this.#log.error(
        { lock: this.#key, holder },
        'ANOTHER PROCESS SERVES THIS MODULE: calls go to either of the two; stop one of them',
      );
      return false;
    }
    await this.#redis.set(this.#key, this.#value, 'EX', LOCK_SECONDS);
    return true;
  }
}

/** A holder on this host whose process is gone has crashed; its lock is free. */
function isAlive(holder: string): boolean {
  try {
    const { host, pid } = JSON.parse(holder) as { host?: unknown; pid?: unknown };
    if (host !== hostname() || typeof pid !== 'number') return true;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

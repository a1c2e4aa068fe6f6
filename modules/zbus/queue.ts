/** One object's queue: takes calls, keeps them in a work list until answered, finds lost ones again. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, pause, whenReady } from './broker.ts';
import type { Places } from './order.ts';

const POP_SECONDS = 10;
const CONNECT_DEADLINE_MS = 10_000;
/** Pops waiting on the connection at once, so that a burst needs no round trip each. */
const POPS = 16;

export interface QueueOptions {
  readonly address: BrokerAddress;
  readonly name: string;
  /** List of calls taken and not answered; no other living process may use it. */
  readonly work: string;
  readonly log: BusLog;
  /** Places for calls taken and not answered. */
  readonly places: Places;
  /** Takes over one call; resolves when its answer is on its way and the entry may go. */
  readonly take: (payload: Buffer, queue: Queue) => Promise<void>;
}

export class Queue {
  readonly name: string;
  /** Calls taken and not answered; survives a crash of this process. */
  readonly work: string;
  readonly #options: QueueOptions;
  readonly #taken = new Set<string>();
  readonly #stopping = new AbortController();
  #redis: Redis | undefined;
  #connectionId: number | undefined;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(options: QueueOptions) {
    this.#options = options;
    this.name = options.name;
    this.work = options.work;
  }

  start(): void {
    const { address, log } = this.#options;
    const redis = openConnection(address, `queue ${this.name}`, log);
    this.#redis = redis;
    let connected = false;
    redis.on('ready', () => {
      if (connected) {
        this.#recover(redis).catch((error: unknown) => log.debug({ reason: String(error) }, 'no look for lost calls'));
      }
      connected = true;
      redis.client('ID').then(
        (id) => {
          this.#connectionId = Number(id);
        },
        () => undefined,
      );
    });
    this.#loops = Promise.all(Array.from({ length: POPS }, () => this.#loop(redis)));
  }

  /** Stops taking calls. `control` is a connection that is not blocked. */
  async stop(control: Redis, withinMs: number): Promise<void> {
    this.#stopping.abort();
    const giveUp = AbortSignal.timeout(withinMs);
    const ended = this.#loops.then(() => true);
    // Each pop that waits on the connection is ended in turn: closing it could lose a call.
    while (!giveUp.aborted && this.#redis?.status === 'ready' && this.#connectionId !== undefined) {
      await control.client('UNBLOCK', this.#connectionId).catch(() => undefined);
      if (await Promise.race([ended, pause(1, giveUp).then(() => false)])) break;
    }
    closeConnection(this.#redis);
    await Promise.race([ended, pause(100, giveUp)]);
  }

  async #loop(redis: Redis): Promise<void> {
    const { places, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await places.take();
      let payload: Buffer | null = null;
      try {
        if (!signal.aborted) {
          await whenReady(redis, CONNECT_DEADLINE_MS, signal);
          payload = await redis.blmoveBuffer(this.name, this.work, 'LEFT', 'RIGHT', POP_SECONDS);
        }
      } catch (error) {
        if (!signal.aborted) {
          log.debug({ reason: String(error), queue: this.name }, 'taking calls failed');
          await pause(50, signal);
        }
      }
      if (payload === null) places.give();
      else this.#begin(payload);
    }
  }

  /** Runs one call in the place that was taken for it. */
  #begin(payload: Buffer): void {
    const end = (): void => this.#options.places.give();
    this.#run(payload).then(end, end);
  }

  async #run(payload: Buffer): Promise<void> {
    const key = payload.toString('latin1');
    this.#taken.add(key);
    try {
      await this.#options.take(payload, this);
    } catch (error) {
      this.#options.log.error({ err: error, queue: this.name }, 'a call could not be handled');
    } finally {
      this.#taken.delete(key);
    }
  }

  /** Calls that the broker moved while the connection broke: moved, but never seen here. */
  async #recover(redis: Redis): Promise<void> {
    try {
      for (const payload of await redis.lrangeBuffer(this.work, 0, -1)) {
        if (this.#taken.has(payload.toString('latin1'))) continue;
        this.#options.log.warn({ queue: this.name }, 'found a call that was lost with the connection, running it');
        await this.#options.places.take();
        this.#begin(payload);
      }
    } catch (error) {
      this.#options.log.debug({ reason: String(error), queue: this.name }, 'looking for lost calls failed');
    }
  }
}

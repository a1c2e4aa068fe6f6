/** One object's queue: takes calls, keeps them in a work list until answered, finds lost ones again. */
import { type BrokerAddress, type BusLog, closeConnection, pause, whenReady } from './broker.ts';
import { claim, type Line, openLine } from './line.ts';
import type { Places } from './order.ts';

const POP_SECONDS = 10;
const CONNECT_DEADLINE_MS = 10_000;
/** Pops waiting on the connection at once, so that a burst needs no round trip each. */
const POPS = 32;

/** `stuck`: the call is over, its entry is not gone; it must not run again. */
export type Taken = 'gone' | 'kept' | 'stuck';

export interface QueueOptions {
  readonly address: BrokerAddress;
  readonly name: string;
  /** List of calls taken and not answered; no other process ever uses it. */
  readonly work: string;
  /** Makes sure that the work list is found after a crash; again after each loss of the broker. */
  readonly register: () => Promise<void>;
  readonly log: BusLog;
  /** Places for calls taken and not answered. */
  readonly places: Places;
  /** Takes over one call; tells at its end whether the entry is gone from the work list or to be kept there. */
  readonly take: (payload: Buffer, queue: Queue) => Promise<Taken>;
}

export class Queue {
  readonly name: string;
  /** Calls taken and not answered; survives a crash of this process. */
  readonly work: string;
  readonly #options: QueueOptions;
  /** Entries of the work list that are known here, and how many of each. */
  readonly #taken = new Map<string, number>();
  readonly #stuck = new Set<string>();
  readonly #stopping = new AbortController();
  #redis: Line | undefined;
  #connectionId: number | undefined;
  /** The connection whose predecessors are ended and whose lost calls are found. */
  #claimed: Line['stream'] | undefined;
  #claiming: Promise<void> | undefined;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(options: QueueOptions) {
    this.#options = options;
    this.name = options.name;
    this.work = options.work;
  }

  /** Connects, and ends what may still pop into the work list. @throws Error when that is not done in time */
  async open(withinMs: number): Promise<void> {
    const { address, log } = this.#options;
    const redis = openLine(address, `queue ${this.name}`, log);
    this.#redis = redis;
    await whenReady(redis, withinMs);
    const { stream } = redis;
    this.#connectionId = await claim(redis, this.work);
    this.#claimed = stream;
  }

  start(): void {
    const redis = this.#redis;
    if (redis === undefined) throw new Error(`queue ${this.name} is not open`);
    this.#loops = Promise.all(Array.from({ length: POPS }, () => this.#loop(redis)));
  }

  /** Stops taking calls. `control` is a connection that is not blocked. */
  async stop(control: Line, withinMs: number): Promise<void> {
    this.#stopping.abort();
    const giveUp = AbortSignal.timeout(withinMs);
    const ended = this.#loops.then(() => true);
    // Each pop that waits on the connection is ended in turn: closing it could lose a call.
    while (!giveUp.aborted && this.#redis?.status === 'ready' && this.#connectionId !== undefined) {
      await control.send('CLIENT', 'UNBLOCK', this.#connectionId).catch(() => undefined);
      if (await Promise.race([ended, pause(1, giveUp).then(() => false)])) break;
    }
    closeConnection(this.#redis);
    await Promise.race([ended, pause(100, giveUp)]);
  }

  async #loop(redis: Line): Promise<void> {
    const { places, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await places.take();
      let payload: Buffer | null = null;
      try {
        if (!signal.aborted) {
          await whenReady(redis, CONNECT_DEADLINE_MS, signal);
          if (this.#claimed !== redis.stream) await this.#reclaim(redis);
          payload = (await redis.sendWhenFew(
            'BLMOVE',
            this.name,
            this.work,
            'LEFT',
            'RIGHT',
            POP_SECONDS,
          )) as Buffer | null;
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
    const key = keyOf(payload);
    this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1);
    let taken: Taken = 'stuck';
    try {
      taken = await this.#options.take(payload, this);
    } catch (error) {
      this.#options.log.error({ err: error, queue: this.name }, 'a call could not be handled');
    }
    if (taken === 'stuck') this.#stuck.add(key);
    else if (taken === 'gone') this.#release(key);
  }

  #release(key: string): void {
    const count = this.#taken.get(key) ?? 0;
    if (count > 1) this.#taken.set(key, count - 1);
    else this.#taken.delete(key);
  }

  /** One of the pops looks after a new connection, the others wait for it. */
  async #reclaim(redis: Line): Promise<void> {
    this.#claiming ??= this.#recover(redis).finally(() => {
      this.#claiming = undefined;
    });
    await this.#claiming;
  }

  /** Calls that the broker moved while the connection broke: moved, but never seen here. */
  async #recover(redis: Line): Promise<void> {
    const { log, places } = this.#options;
    const { stream } = redis;
    this.#connectionId = await claim(redis, this.work);
    await this.#options.register();
    const entries = (await redis.send('LRANGE', this.work, 0, -1)) as Buffer[];
    const unknown = new Map(this.#taken);
    for (const payload of entries) {
      const key = keyOf(payload);
      if (this.#stuck.delete(key)) {
        await redis.send('LREM', this.work, 1, payload);
        this.#release(key);
        continue;
      }
      const known = unknown.get(key) ?? 0;
      if (known > 0) {
        unknown.set(key, known - 1);
        continue;
      }
      if (this.#stopping.signal.aborted) return;
      log.warn({ queue: this.name }, 'found a call that was lost with the connection, running it');
      // It is this queue's from now on, whether there is a place for it or not.
      places.force();
      this.#begin(payload);
    }
    this.#claimed = stream;
  }
}

function keyOf(payload: Buffer): string {
  return payload.toString('latin1');
}

/** The object `zbus@1.0` of every module: what it serves and what its workers do. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, pause, whenReady } from './broker.ts';
import { encode } from './codec.ts';
import { WireError } from './errors.ts';
import { decodeRequest, encodeResponse, queueName, STATUS_OBJECT, Status } from './frames.ts';
import { now } from './gotime.ts';
import { FRAME_MOST_BYTES, senderOf } from './limits.ts';
import type { Line } from './line.ts';
import type { GoTime } from './wire.ts';

const POP_SECONDS = 10;
const CONNECT_DEADLINE_MS = 10_000;
const REPLY_TTL_SECONDS = 300;

export class StatusLoop {
  readonly objects: Array<{ Name: string; Version: string }> = [];
  readonly #address: BrokerAddress;
  readonly #queue: string;
  readonly #log: BusLog;
  readonly #busy = new Map<symbol, { since: GoTime; action: string }>();
  readonly #stopping = new AbortController();
  #freeSince = now();
  #redis: Redis | undefined;
  #connectionId: number | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(address: BrokerAddress, module: string, log: BusLog) {
    this.#address = address;
    this.#queue = queueName(module, STATUS_OBJECT);
    this.#log = log;
  }

  start(): void {
    this.#redis = openConnection(this.#address, 'status', this.#log);
    this.#loop = this.#run(this.#redis);
  }

  async stop(control: Line): Promise<void> {
    this.#stopping.abort();
    const giveUp = AbortSignal.timeout(500);
    const ended = this.#loop.then(() => true);
    if (this.#redis?.status === 'ready' && control.status === 'ready' && this.#connectionId !== undefined) {
      await control.send('CLIENT', 'UNBLOCK', this.#connectionId).catch(() => undefined);
      await Promise.race([ended, pause(500, giveUp)]);
    }
    closeConnection(this.#redis);
  }

  /** Notes that a worker is busy; the returned function frees it. */
  begin(action: string): () => void {
    const worker = Symbol(action);
    this.#busy.set(worker, { since: now(), action });
    return () => {
      this.#busy.delete(worker);
      this.#freeSince = now();
    };
  }

  async #run(redis: Redis): Promise<void> {
    const { signal } = this.#stopping;
    let known: Redis['stream'] | undefined;
    while (!signal.aborted) {
      try {
        await whenReady(redis, CONNECT_DEADLINE_MS, signal);
        if (known !== redis.stream) {
          this.#connectionId = Number(await redis.client('ID'));
          known = redis.stream;
        }
        const found = await redis.blpopBuffer(this.#queue, POP_SECONDS);
        if (found !== null) this.#answer(redis, found[1]);
      } catch (error) {
        if (signal.aborted) return;
        this.#log.debug({ reason: String(error) }, 'answering status failed');
        await pause(100, signal);
      }
    }
  }

  /** What cannot be read, or is not waited for any more, holds up nobody. */
  #answer(redis: Redis, payload: Buffer): void {
    try {
      const request = payload.length > FRAME_MOST_BYTES ? senderOf(payload) : decodeRequest(payload);
      if (request === undefined) throw new WireError(`larger than ${FRAME_MOST_BYTES} bytes`);
      if (request.deadline !== undefined && request.deadline < Date.now()) return;
      const frame = encodeResponse({ id: request.id, data: encode(Status, this.#read()) });
      Promise.all([redis.rpush(request.replyTo, frame), redis.expire(request.replyTo, REPLY_TTL_SECONDS)]).catch(
        (error: unknown) => this.#log.debug({ reason: String(error) }, 'a status could not be sent'),
      );
    } catch (error) {
      this.#log.warn({ err: error, bytes: payload.length }, 'a question for the status cannot be read and is dropped');
    }
  }

  #read(): Status {
    const busy = [...this.#busy.values()].map(({ since, action }) => ({
      State: 'busy',
      StartTime: since,
      Action: action,
    }));
    return { Objects: this.objects, Workers: [...busy, { State: 'free', StartTime: this.#freeSince, Action: '' }] };
  }
}

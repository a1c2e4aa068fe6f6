/** The object `zbus@1.0` of every module: what it serves, what its workers do, and its numbers. */
import type { Redis } from 'ioredis';
import { type BrokerAddress, type BusLog, closeConnection, openConnection, pause, whenReady } from './broker.ts';
import { encode } from './codec.ts';
import { WireError } from './errors.ts';
import { decodeRequest, encodeResponse, METRICS_METHOD, queueName, STATUS_OBJECT, Status } from './frames.ts';
import { now } from './gotime.ts';
import { FRAME_MOST_BYTES, senderOf } from './limits.ts';
import type { Line } from './line.ts';
import { type GoTime, str } from './wire.ts';

const POP_SECONDS = 10;
const CONNECT_DEADLINE_MS = 10_000;
const REPLY_TTL_SECONDS = 300;
/** Milliseconds that reading the numbers may take. */
const METRICS_DEADLINE_MS = 1_000;

export class StatusLoop {
  readonly objects: Array<{ Name: string; Version: string }> = [];
  readonly #address: BrokerAddress;
  readonly #queue: string;
  readonly #log: BusLog;
  readonly #metrics: (() => Promise<string>) | undefined;
  readonly #busy = new Map<symbol, { since: GoTime; action: string }>();
  readonly #stopping = new AbortController();
  #freeSince = now();
  #redis: Redis | undefined;
  #connectionId: number | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(address: BrokerAddress, module: string, log: BusLog, metrics?: () => Promise<string>) {
    this.#address = address;
    this.#queue = queueName(module, STATUS_OBJECT);
    this.#log = log;
    this.#metrics = metrics;
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
        // Pushed before the next pop, which holds the connection.
        if (found !== null) await this.#answer(redis, found[1]);
      } catch (error) {
        if (signal.aborted) return;
        this.#log.debug({ reason: String(error) }, 'answering status failed');
        await pause(100, signal);
      }
    }
  }

  /** What cannot be read, or is not waited for any more, holds up nobody. */
  async #answer(redis: Redis, payload: Buffer): Promise<void> {
    try {
      const request = payload.length > FRAME_MOST_BYTES ? senderOf(payload) : decodeRequest(payload);
      if (request === undefined) throw new WireError(`larger than ${FRAME_MOST_BYTES} bytes`);
      if (request.deadline !== undefined && request.deadline < Date.now()) return;
      const frame = encodeResponse({ id: request.id, data: await this.#told(request.method) });
      Promise.all([redis.rpush(request.replyTo, frame), redis.expire(request.replyTo, REPLY_TTL_SECONDS)]).catch(
        (error: unknown) => this.#log.debug({ reason: String(error) }, 'a status could not be sent'),
      );
    } catch (error) {
      this.#log.warn({ err: error, bytes: payload.length }, 'a question for the status cannot be read and is dropped');
    }
  }

  /** Numbers that can not be read in time are none: who asks for the status is not to wait for them. */
  async #told(method: string): Promise<Uint8Array> {
    const metrics = method === METRICS_METHOD ? this.#metrics : undefined;
    if (metrics === undefined) return encode(Status, this.#read());
    const ended = new AbortController();
    const late = pause(METRICS_DEADLINE_MS, ended.signal).then(() => '');
    const text = metrics().catch((error: unknown) => {
      this.#log.error({ err: error }, 'the numbers of this module can not be read');
      return '';
    });
    try {
      return encode(str, await Promise.race([text, late]));
    } finally {
      ended.abort();
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

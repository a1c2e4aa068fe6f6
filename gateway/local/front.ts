/** The local interface as a whole: the queues of rmb-peer before one twin's connection to its relays. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { InstanceLock } from '../../modules/zbus/lock.ts';
import type { Door } from '../door/door.ts';
import type { PayloadCipher } from '../rmb/cipher.ts';
import type { RequestHandler, RmbClient } from '../rmb/client.ts';
import type { SignatureVerifier } from '../rmb/signature.ts';
import type { TwinSource } from '../rmb/twins.ts';
import { Asking } from './asking.ts';
import { Intake } from './intake.ts';
import { DEFAULT_LOCAL_LIMITS, type LocalLimits } from './limits.ts';
import { LocalMetrics } from './metrics.ts';
import { PRIVATE, REPLIES, REQUESTS } from './names.ts';
import type { RedisPlace } from './redis.ts';
import { Serving } from './serving.ts';
import { LocalStore } from './store.ts';

export interface LocalFrontOptions {
  readonly redis: RedisPlace;
  readonly peer: RmbClient;
  readonly door: Door;
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly cipher: PayloadCipher;
  /** Commands that have a service, from `allowList`. */
  readonly commands: ReadonlySet<string>;
  /** Whether local programs may send as this twin. */
  readonly mayAsk: boolean;
  readonly log: Logger;
  readonly registry?: Registry | undefined;
  readonly limits?: Partial<LocalLimits> | undefined;
}

const LOCK_PAUSE_MS = 3000;
const CONNECT_PAUSE_MS = 50;

export class LocalFront {
  readonly #store: LocalStore;
  readonly #serving: Serving;
  readonly #intakes: readonly Intake[];
  readonly #log: Logger;
  #running: Promise<unknown> | undefined;
  #alone = false;

  constructor(options: LocalFrontOptions) {
    const { log, peer, door, twins, commands } = options;
    const limits = { ...DEFAULT_LOCAL_LIMITS, ...options.limits };
    const metrics = new LocalMetrics(options.registry ?? new Registry());
    const store = new LocalStore(options.redis, limits, log);
    const asking = new Asking({ ...options, store, metrics, allowed: options.mayAsk });
    const ready = (): boolean => this.connected;
    const serving = new Serving({ store, door, peer, twins, limits, metrics, log, commands, ready });
    this.#log = log;
    this.#store = store;
    this.#serving = serving;
    const reply = (message: Parameters<Serving['work']>[0]): Promise<void> => serving.work(message);
    this.#intakes = [
      new Intake({
        ...{ queue: REQUESTS, store, limits, log },
        work: (message) => asking.work(message),
        refuse: (message) => asking.refuse(message),
      }),
      new Intake({ queue: REPLIES, store, limits, log, work: reply, refuse: reply }),
    ];
  }

  /** Whether the local Redis is connected and this is the one that serves it. */
  get connected(): boolean {
    return this.#alone && this.#store.ready;
  }

  /** Works off the queues from now on, as soon as Redis is there. */
  start(): void {
    this.#running ??= this.#run().catch((error: unknown) => this.#log.error({ err: error }, 'local interface ended'));
  }

  /** Waits a while for `connected`, so that mail that waits at the relays finds its services. */
  async settled(withinMs: number, signal: AbortSignal): Promise<void> {
    const giveUpAt = Date.now() + withinMs;
    while (!this.connected && Date.now() < giveUpAt && !signal.aborted) {
      await sleep(CONNECT_PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Requests for local services to the services, others to `own`. */
  before(own: RequestHandler): RequestHandler {
    return (incoming) => {
      const { message } = incoming.envelope;
      const claimed = message.case === 'request' && this.#serving.claims(message.value.command);
      return claimed ? this.#serving.serve(incoming) : own(incoming);
    };
  }

  /** Every request is a local service's, or unknown. */
  get handler(): RequestHandler {
    return (incoming) => this.#serving.serve(incoming);
  }

  /** Leaves what is not done for the next start. */
  async close(): Promise<void> {
    this.#store.stop();
    await this.#running;
    this.#store.close();
  }

  async #run(): Promise<void> {
    const { redis, stopping } = this.#store;
    let lock = new InstanceLock(redis, PRIVATE, this.#log);
    // Two that read the same queues would each take messages of the other's twin.
    while (!stopping.aborted && !(await lock.take().catch(() => false))) {
      await lock.release().catch(() => undefined);
      lock = new InstanceLock(redis, PRIVATE, this.#log);
      await sleep(this.#store.ready ? LOCK_PAUSE_MS : CONNECT_PAUSE_MS, undefined, { signal: stopping }).catch(
        () => undefined,
      );
    }
    this.#alone = true;
    await Promise.all(this.#intakes.map((intake) => intake.run()));
    await lock.release().catch(() => undefined);
  }
}

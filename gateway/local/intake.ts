/**
 * Works off one queue. Each of the two queues has its own, so that a flood of
 * one never holds up the other. A message is kept until its work is done; what
 * a dead process or a lost connection left is worked on again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LocalLimits } from './limits.ts';
import type { LocalStore, Taken } from './store.ts';

export interface IntakeOptions {
  readonly queue: string;
  readonly store: LocalStore;
  readonly limits: LocalLimits;
  readonly log: Logger;
  /** A rejection after the store stopped leaves the message for the next process. */
  readonly work: (message: Taken) => Promise<void>;
  /** For messages beyond the queue's bound: answered at once, not worked on. */
  readonly refuse: (message: Taken) => Promise<void>;
}

const PAUSE_MS = 200;
const BATCH = 32;
const ROOM_CHECK_MS = 1000;
const STOP_PATIENCE_MS = 3000;

export class Intake {
  readonly #options: IntakeOptions;
  /** In work, or done and not confirmed yet. */
  readonly #known = new Set<string>();
  readonly #done = new Set<string>();
  #bytes = 0;
  readonly #running = new Set<Promise<void>>();
  #wake: (() => void) | undefined;
  #recover = true;

  constructor(options: IntakeOptions) {
    this.#options = options;
    options.store.redis.on('ready', () => {
      this.#recover = true;
    });
  }

  /** Runs until the store stops. */
  async run(): Promise<void> {
    const { store, queue, log } = this.#options;
    const wait = store.waiter(queue);
    let problem = '';
    while (!store.stopping.aborted) {
      try {
        await this.#confirm();
        if (this.#recover) await this.#recoverKept();
        if (!(await this.#room())) continue;
        const { atOnce, bytesAtOnce } = this.#options.limits;
        const count = Math.min(BATCH, atOnce - this.#running.size);
        const taken = await store.take(queue, count, bytesAtOnce - this.#bytes);
        for (const message of taken) this.#start(message, this.#options.work);
        if (taken.length === 0) await wait();
        problem = '';
      } catch (error) {
        if (store.stopping.aborted) break;
        const reason = (error as Error).message;
        if (reason !== problem) log.warn({ queue, reason }, 'local queue cannot be read, trying again');
        problem = reason;
        this.#recover = true;
        await sleep(PAUSE_MS, undefined, { signal: store.stopping }).catch(() => undefined);
      }
    }
    await this.#settle();
  }

  async #recoverKept(): Promise<void> {
    const { store, queue, log } = this.#options;
    this.#recover = false;
    const left = (await store.unconfirmed(queue)).filter(({ id }) => !this.#known.has(id));
    if (left.length > 0) log.info({ queue, messages: left.length }, 'messages that were taken before are worked on');
    for (const message of left) this.#start(message, this.#options.work);
  }

  /** Waits while too much is in work; a queue that outgrows its bound meanwhile loses its oldest, with an answer. */
  async #room(): Promise<boolean> {
    const { atOnce, bytesAtOnce, listMessages } = this.#options.limits;
    if (this.#running.size < atOnce && this.#bytes < bytesAtOnce) return true;
    const { store, queue } = this.#options;
    const waiting = new AbortController();
    this.#wake = () => waiting.abort();
    const signal = AbortSignal.any([waiting.signal, store.stopping]);
    await sleep(ROOM_CHECK_MS, undefined, { signal }).catch(() => undefined);
    this.#wake = undefined;
    if (signal.aborted) return false;
    if ((await store.length(queue)) <= listMessages) return false;
    const beyond = await store.take(queue, BATCH, bytesAtOnce);
    for (const message of beyond) this.#start(message, this.#options.refuse);
    return false;
  }

  #start(message: Taken, work: (message: Taken) => Promise<void>): void {
    const running = this.#work(message, work).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #work(message: Taken, work: (message: Taken) => Promise<void>): Promise<void> {
    const { id, text } = message;
    const { log, queue, store } = this.#options;
    this.#known.add(id);
    this.#bytes += text.length;
    try {
      await work(message);
      this.#done.add(id);
    } catch (error) {
      // Stopped in the middle: it stays in Redis for the next process. Anything else would fail again, too.
      if (store.stopping.aborted) this.#known.delete(id);
      else this.#done.add(id);
      log.error({ queue, id, err: error }, 'a local message could not be worked on');
    }
    this.#bytes -= text.length;
    await this.#confirm().catch(() => undefined);
    this.#wake?.();
  }

  async #confirm(): Promise<void> {
    const ids = [...this.#done];
    if (ids.length === 0) return;
    await this.#options.store.confirm(this.#options.queue, ids);
    for (const id of ids) {
      this.#done.delete(id);
      this.#known.delete(id);
    }
  }

  async #settle(): Promise<void> {
    const patience = new AbortController();
    await Promise.race([
      Promise.all(this.#running),
      sleep(STOP_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
    await this.#confirm().catch(() => undefined);
  }
}

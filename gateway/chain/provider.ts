/**
 * What the chain's library speaks through: one line at a time, to the endpoint that serves best. One
 * that is silent, lags or lost what is needed is left for the next; subscriptions go along.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiOptions } from '@polkadot/api/types';
import { LRUCache } from 'lru-cache';
import { type ChainOrigin, EndpointBook, type EndpointLimits, type EndpointState, type Problem } from './endpoints.ts';
import { EndpointLine, type Notice } from './line.ts';
import { Subscriptions } from './subscriptions.ts';
import { type Finding, firstBlock, newestFinal, vet } from './vet.ts';

type Provider = NonNullable<ApiOptions['provider']>;

export interface EndpointNews {
  readonly endpoint: string;
  /** `used` from now on, `left` after it was, or `refused` before it could be. */
  readonly what: 'used' | 'left' | 'refused';
  readonly problem: Problem | undefined;
  readonly reason: string;
}

export interface ProviderOptions {
  /** `ws://` or `wss://` URLs, the preferred one first. */
  readonly endpoints: readonly string[];
  readonly limits: EndpointLimits;
  /** Hex hash of block 0 that an endpoint must serve; without it that of the first one in use. */
  readonly genesis: string | undefined;
  readonly onNews: (news: EndpointNews) => void;
}

/** Answers about a block by its hash never change. */
const CACHED_ANSWERS = 64;
/** Answers to which one may switch to a better endpoint without harm are waited for no longer. */
const QUIET_MS = 5_000;
const QUIET_LOOK_MS = 50;

export class EndpointProvider implements Provider {
  readonly hasSubscriptions = true;
  readonly isClonable = false;
  readonly book: EndpointBook;
  readonly #options: ProviderOptions;
  readonly #events = new EventEmitter();
  readonly #subscriptions = new Subscriptions();
  readonly #answers = new LRUCache<string, Promise<unknown>>({ max: CACHED_ANSWERS });
  readonly #stopping = new AbortController();
  /** What every endpoint's chain must begin with, as far as it is known. */
  #origin: Partial<ChainOrigin>;
  #line: EndpointLine | undefined;
  /** Why the line in use is being ended; a loss of its own otherwise. */
  #leaving: { readonly problem: Problem | undefined; readonly reason: string } | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ProviderOptions) {
    this.#options = options;
    this.#origin = options.genesis === undefined ? {} : { genesis: options.genesis };
    this.book = new EndpointBook(options.endpoints, options.limits);
    // One for each kind of event of every interface of the library.
    this.#events.setMaxListeners(0);
  }

  get isConnected(): boolean {
    return this.#line?.isOpen === true;
  }

  get endpoint(): string | undefined {
    return this.#line?.url;
  }

  /** What every endpoint's chain must begin with: what was given, then what the first one in use had. */
  get origin(): Partial<ChainOrigin> {
    return this.#origin;
  }

  get states(): EndpointState[] {
    return this.book.states;
  }

  clone(): Provider {
    throw new Error('an endpoint provider has one user');
  }

  /** Begins to connect, and to keep connected. */
  async connect(): Promise<void> {
    this.#running ??= this.#run();
  }

  async disconnect(): Promise<void> {
    this.#stopping.abort();
    this.#line?.end('closed');
    await this.#running;
  }

  on(type: 'connected' | 'disconnected' | 'error', listener: (value?: unknown) => void): () => void {
    this.#events.on(type, listener);
    return () => this.#events.off(type, listener);
  }

  // biome-ignore lint/suspicious/noExplicitAny: the library's own signature
  async send<T = any>(method: string, params: unknown[], isCacheable = false): Promise<T> {
    if (method === 'state_getMetadata' && params.length === 0) return (await this.#description()) as T;
    const line = this.#line;
    if (line === undefined || !line.isOpen) throw new Error(`WebSocket is not connected, for ${method}`);
    if (!isCacheable) return (await line.request(method, params)) as T;
    const key = `${method} ${JSON.stringify(params)}`;
    const kept = this.#answers.get(key);
    if (kept !== undefined) return (await kept) as T;
    const answer = line.request(method, params);
    this.#answers.set(key, answer);
    answer.then(
      // What the endpoint does not know yet it may know soon.
      (result) => result === null && this.#answers.delete(key),
      () => this.#answers.delete(key),
    );
    return (await answer) as T;
  }

  /**
   * What the newest runtime is like. After an upgrade the library asks once, and a failure would end the
   * process: the next endpoint is asked instead, for as long as it takes.
   */
  async #description(): Promise<unknown> {
    for (;;) {
      const line = this.#line;
      try {
        if (line?.isOpen === true) return await line.request('state_getMetadata', []);
      } catch (error) {
        if (line !== undefined) this.leave(line.url, 'runtime', String(error));
      }
      if (this.#stopping.signal.aborted) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => {
        this.#events.once('connected', () => resolve());
      });
    }
  }

  async subscribe(
    type: string,
    method: string,
    params: unknown[],
    callback: (error: Error | null, value: unknown) => void,
  ): Promise<string> {
    return await this.#subscriptions.open({ type, method, params, callback }, (name, args) => this.send(name, args));
  }

  async unsubscribe(_type: string, method: string, id: number | string): Promise<boolean> {
    const remote = this.#subscriptions.close(String(id));
    if (remote !== undefined && this.isConnected) await this.send(method, [remote]).catch(() => undefined);
    return true;
  }

  /** Gives up the endpoint in use; false where it is not that one. */
  leave(url: string, problem: Problem, reason: string): boolean {
    if (this.#line?.url !== url || !this.#line.isOpen) return false;
    this.#end(problem, reason);
    return true;
  }

  #end(problem: Problem | undefined, reason: string): void {
    this.#leaving = { problem, reason };
    this.#line?.end(reason);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const now = performance.now();
      const due = this.book.due(now);
      // Better one that is behind than none: what must not be read from it is refused where it is read.
      const url = due ?? this.book.laggard;
      if (url === undefined) {
        await sleep(Math.max(10, this.book.dueAt - now), undefined, { signal }).catch(() => undefined);
        continue;
      }
      const line = await this.#open(url, due === undefined);
      if (line !== undefined && !signal.aborted) await this.#use(line);
      line?.end('closed');
    }
  }

  /** An open line to an endpoint that may be used. */
  async #open(url: string, mayLag: boolean): Promise<EndpointLine | undefined> {
    const { limits } = this.#options;
    const { signal } = this.#stopping;
    let line: EndpointLine | undefined;
    try {
      const onNotice = (notice: Notice): void => this.#subscriptions.hear(notice);
      line = await EndpointLine.open(url, { ...limits, onNotice, onClosed: () => this.#closed.get(url)?.() }, signal);
      const finding = await this.#vet(line);
      if (finding.problem === undefined || (mayLag && finding.problem === 'lagging')) return line;
      this.#tell({ endpoint: url, what: 'refused', problem: finding.problem, reason: finding.reason });
    } catch (error) {
      if (!signal.aborted) this.#refused(url, error);
    }
    line?.end('not used');
    return undefined;
  }

  readonly #closed = new Map<string, () => void>();

  async #vet(line: EndpointLine): Promise<Finding> {
    const finding = await vet(line, this.book, this.#origin);
    this.book.judged(line.url, finding, finding.reason, performance.now());
    if (this.book.misfit !== undefined) this.#events.emit('misfit');
    return finding;
  }

  #keepTo({ genesis, first }: ChainOrigin): void {
    this.#origin = { genesis, ...(first === '' ? {} : { first }), ...this.#origin };
  }

  #refused(url: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const problem = /silent|No response|not open within/.test(reason) ? 'silent' : 'lost';
    this.book.failed(url, problem, reason, performance.now());
    this.#tell({ endpoint: url, what: 'refused', problem, reason });
  }

  #tell(news: EndpointNews): void {
    this.#options.onNews(news);
  }

  /** Until the line ends, or is left for a better one. */
  async #use(line: EndpointLine): Promise<void> {
    const { url } = line;
    const ended = Promise.withResolvers<void>();
    this.#closed.set(url, ended.resolve);
    if (!line.isOpen) ended.resolve();
    this.#keepTo(this.book.originOf(url));
    this.#line = line;
    this.#leaving = undefined;
    this.book.used(url);
    this.#tell({ endpoint: url, what: 'used', problem: undefined, reason: '' });
    const watching = new AbortController();
    const signal = AbortSignal.any([watching.signal, this.#stopping.signal]);
    // Before the library hears of it and asks for more.
    const renewed = this.#subscriptions.renew((method, params) => this.send(method, params));
    this.#events.emit('connected');
    renewed.catch(() => line.isOpen && this.#end('runtime', 'it did not take the subscriptions'));
    const watch = Promise.all([this.#probe(line, signal), this.#survey(signal)]);
    try {
      await ended.promise;
    } finally {
      watching.abort();
      this.#closed.delete(url);
      this.#line = undefined;
    }
    await watch;
    // Stands until here: the probe ends a line with its reason.
    const why = this.#leaving as { problem: Problem | undefined; reason: string } | undefined;
    const reason = why?.reason ?? line.reason;
    const problem = why === undefined ? (/silent/.test(reason) ? 'silent' : 'lost') : why.problem;
    this.book.left(url, this.#stopping.signal.aborted ? undefined : problem, reason, performance.now());
    if (!this.#stopping.signal.aborted) this.#tell({ endpoint: url, what: 'left', problem, reason });
    this.#subscriptions.lost();
    this.#events.emit('disconnected');
  }

  /** Looks at the final block of the endpoint in use; a question that is not answered ends its line. */
  async #probe(line: EndpointLine, signal: AbortSignal): Promise<void> {
    const { probeMs, answerMs } = this.#options.limits;
    while (await passed(probeMs, signal)) {
      try {
        const { number } = await newestFinal(line, Math.min(answerMs, 2 * probeMs));
        // Before its block counts: by the first one it is known again.
        if (this.#origin.first === undefined) {
          this.#keepTo({ ...this.book.originOf(line.url), first: await firstBlock(line, number) });
        }
        this.book.progressed(line.url, number);
      } catch {
        // A line that is silent has ended by this; an answer that was an error is judged by the next survey.
      }
    }
  }

  /** Looks at the others now and then, more often while the chain seems to stand still. */
  async #survey(signal: AbortSignal): Promise<void> {
    const { surveyMs, firstSurveyMs, stallMs } = this.#options.limits;
    if (this.book.others.length === 0) return;
    let dueAt = performance.now() + Math.min(firstSurveyMs, surveyMs);
    let moved = { final: -1, at: performance.now() };
    while (await passed(Math.min(stallMs / 4, Math.max(50, dueAt - performance.now())), signal)) {
      const now = performance.now();
      const final = this.book.states.find(({ inUse }) => inUse)?.final ?? 0;
      if (final !== moved.final) moved = { final, at: now };
      const isStill = now - moved.at >= stallMs;
      if (now < dueAt && !isStill && !this.book.isLagging(final)) continue;
      await Promise.all(this.book.others.map((url) => this.#ask(url, signal)));
      dueAt = performance.now() + surveyMs;
      if (isStill) moved = { final, at: performance.now() };
      const better = this.book.better(performance.now());
      if (better !== undefined && !signal.aborted) await this.#returnTo(better, signal);
    }
  }

  /** A short visit to an endpoint that is not in use. The one in use is left for it at once where that lags. */
  async #ask(url: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    let line: EndpointLine | undefined;
    try {
      line = await EndpointLine.open(url, this.#options.limits, signal);
      await this.#vet(line);
      this.#leaveLaggard(signal);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!signal.aborted) this.book.failed(url, 'lost', reason, performance.now());
    } finally {
      line?.end('asked');
    }
  }

  /**
   * Work on a line to each of the others, side by side: the first that may be used and does not fail. Throws
   * an `AggregateError` where none is that in time.
   */
  async elsewhere<T>(work: (line: EndpointLine) => Promise<T>, withinMs: number): Promise<T> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal, AbortSignal.timeout(withinMs)]);
    try {
      return await Promise.any(
        this.book.others.map(async (url) => {
          const line = await EndpointLine.open(url, this.#options.limits, signal);
          try {
            const { problem, reason } = await this.#vet(line);
            if (problem !== undefined) throw new Error(`${url}: ${reason}`);
            return await work(line);
          } finally {
            line.end('asked');
          }
        }),
      );
    } finally {
      over.abort();
    }
  }

  #leaveLaggard(signal: AbortSignal): void {
    const final = this.book.states.find(({ inUse }) => inUse)?.final ?? 0;
    const better = this.book.better(performance.now());
    if (signal.aborted || better === undefined || !this.book.isLagging(final)) return;
    this.#end('lagging', `its final block is ${final}, ${better} has ${this.book.best}`);
  }

  /** Leaves the endpoint in use for an earlier one, when nobody waits for it. */
  async #returnTo(better: string, signal: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + QUIET_MS;
    while (performance.now() < giveUpAt) {
      if (this.#line?.waiting === 0 && !this.#subscriptions.hasTransactions) {
        this.#end(undefined, `${better} is preferred and serves again`);
        return;
      }
      if (!(await passed(QUIET_LOOK_MS, signal))) return;
    }
  }

  /** Calls `listener` once every endpoint was found to serve another chain. */
  onMisfit(listener: () => void): void {
    this.#events.on('misfit', listener);
  }
}

/** False when the signal ended the pause. */
function passed(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  return sleep(milliseconds, true, { signal }).catch(() => false);
}

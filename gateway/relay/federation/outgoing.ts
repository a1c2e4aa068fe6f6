/**
 * Federation out: messages for twins of other relays. Each is stored first, then
 * posted until a relay of the twin accepts or refuses it or its life is over.
 */
import type { Logger } from 'pino';
import { decodeEnvelope, type Envelope, nowSeconds, remainingSeconds } from '../../rmb/envelope.ts';
import type { TwinRecord, TwinSource } from '../../rmb/twins.ts';
import type { Mail } from '../mail.ts';
import type { RelayMetrics } from '../metrics.ts';
import { errorReply, relayTexts } from '../replies.ts';
import type { JobLimits, JobStore, StoredJob } from './jobs.ts';
import type { Poster } from './post.ts';
import { Ranking } from './ranking.ts';
import { Shares } from './shares.ts';

export interface OutgoingTiming {
  /** Milliseconds before a message that no relay took is tried again. */
  readonly retryMs: number;
  /** Milliseconds after a first round over all relays; twice as many after the second. */
  readonly roundPauseMs: number;
  /** Milliseconds between looks for what processes that are gone have left. */
  readonly heartbeatMs?: number;
}

export interface OutgoingOptions {
  readonly store: (onAbandoned: () => void) => JobStore;
  /** As of the store. */
  readonly limits: JobLimits;
  readonly poster: Poster;
  readonly twins: TwinSource;
  readonly mail: Mail;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
  readonly timing?: OutgoingTiming;
}

export const DEFAULT_JOB_LIMITS: JobLimits = { messages: 10_000, bytes: 32 * 1024 * 1024 };

const DEFAULT_TIMING: OutgoingTiming = { retryMs: 3000, roundPauseMs: 100 };
const ROUNDS = 3;
/** Relays of one twin that are asked; the network allows four. */
const MAX_HOSTS = 4;
/** Messages in this memory. */
const MAX_JOBS = 4096;
/** Of what may wait one sender has at most a quarter. */
const TWIN_SHARE = 4;
/** No message waits longer, whatever life it claims: senders choose that freely. */
const LONGEST_SECONDS = 3600;
const MAX_POSTING = 128;
/** Messages on their way to the same relays at once; to relays that fail, one. */
const LANE_WIDTH = 16;
const SWEEP_MS = 1000;

interface Job extends StoredJob {
  readonly envelope: Envelope;
  /** Unix seconds. */
  readonly endsAt: number;
  posting: boolean;
}

/** Messages for the same set of relays: a set that fails holds up nobody else. */
interface Lane {
  readonly waiting: Job[];
  posting: number;
  failing: boolean;
  retry: NodeJS.Timeout | undefined;
}

type Outcome = 'accepted' | 'rejected' | 'failed' | 'forbidden' | 'expired';

/** What the sender is told where a message's way ends. */
const failureTexts: Readonly<Record<Exclude<Outcome, 'failed'>, string | undefined>> = {
  accepted: undefined,
  rejected: relayTexts.rejected,
  forbidden: relayTexts.elsewhere,
  expired: relayTexts.expired,
};

export class Outgoing {
  readonly #options: OutgoingOptions;
  readonly #timing: OutgoingTiming;
  readonly #store: JobStore;
  readonly #ranking = new Ranking();
  readonly #jobs = new Map<string, Job>();
  readonly #shares: Shares<number>;
  readonly #lanes = new Map<string, Lane>();
  readonly #sweep: NodeJS.Timeout;
  #posting = 0;
  #taking = false;
  #again = false;
  #closed = false;

  constructor(options: OutgoingOptions) {
    this.#options = options;
    this.#timing = options.timing ?? DEFAULT_TIMING;
    this.#shares = new Shares<number>({
      messages: Math.max(1, Math.floor(options.limits.messages / TWIN_SHARE)),
      bytes: Math.floor(options.limits.bytes / TWIN_SHARE),
    });
    this.#store = options.store(() => this.#take(true));
    this.#sweep = setInterval(() => this.#dropExpired(), SWEEP_MS);
    this.#sweep.unref();
  }

  async ready(): Promise<void> {
    await this.#store.ready();
  }

  /** Takes a message over; the text of a refusal, or `undefined`. */
  async add(envelope: Envelope, bytes: Uint8Array): Promise<string | undefined> {
    if (remainingSeconds(envelope, nowSeconds()) <= 0) return relayTexts.expired;
    const twin = envelope.source?.twin ?? 0;
    if (!this.#shares.hasRoom(twin, bytes.length)) return relayTexts.federationFull;
    // Counted while it is on its way into the store, too: many may be.
    this.#shares.count(twin, 1, bytes.length);
    try {
      if ((await this.#store.add(bytes)) === 'full') return relayTexts.federationFull;
    } catch (error) {
      this.#options.log.error({ reason: (error as Error).message }, 'message for another relay not stored');
      return relayTexts.queueFailed;
    } finally {
      this.#shares.count(twin, -1, -bytes.length);
    }
    this.#take(false);
    return undefined;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const { retry } of this.#lanes.values()) clearTimeout(retry);
    this.#options.poster.close();
    this.#store.close();
  }

  /** Takes stored messages as long as there is room for them. */
  #take(abandoned: boolean): void {
    if (this.#taking) {
      this.#again = true;
      return;
    }
    this.#taking = true;
    this.#again = false;
    this.#takeAll(abandoned)
      .catch((error: unknown) => {
        if (!this.#closed) this.#options.log.warn({ reason: (error as Error).message }, 'federation store');
      })
      .finally(() => {
        this.#taking = false;
        if (this.#again && !this.#closed) this.#take(false);
      });
  }

  async #takeAll(abandoned: boolean): Promise<void> {
    if (abandoned) for (const job of await this.#store.takeOver()) this.#begin(job);
    while (!this.#closed && this.#jobs.size < MAX_JOBS) {
      const found = await this.#store.take();
      if (found.length === 0) return;
      for (const job of found) this.#begin(job);
    }
  }

  #begin(stored: StoredJob): void {
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(stored.bytes);
    } catch {
      // Only what parsed was stored by us.
      this.#forget(stored);
      return;
    }
    const job = { ...stored, envelope, endsAt: endOf(stored, envelope), posting: false };
    this.#jobs.set(job.id, job);
    this.#shares.count(envelope.source?.twin ?? 0, 1, job.bytes.length);
    this.#options.metrics.federationWaiting.set(this.#jobs.size);
    this.#assignLater(job);
  }

  /** Looks the destination up and puts the message into the lane of its relays. */
  async #assign(job: Job): Promise<void> {
    const id = job.envelope.destination?.twin ?? 0;
    try {
      const twin = await this.#options.twins.twin(id);
      if (!this.#jobs.has(job.id)) return;
      const problem = problemOf(twin, job);
      if (problem !== undefined) this.#finish(job, problem);
      else this.#enter(job, (twin?.relay ?? []).slice(0, MAX_HOSTS));
    } catch (error) {
      this.#options.log.error({ twin: id, reason: (error as Error).message }, 'twin lookup failed');
      if (!this.#closed) setTimeout(() => this.#assignLater(job), this.#timing.retryMs).unref();
    }
  }

  #assignLater(job: Job): void {
    this.#assign(job).catch((error: unknown) => this.#options.log.error({ err: error }, 'federation failed'));
  }

  #enter(job: Job, hosts: readonly string[]): void {
    const key = [...hosts].sort().join('_');
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { waiting: [], posting: 0, failing: false, retry: undefined };
      this.#lanes.set(key, lane);
    }
    lane.waiting.push(job);
    this.#advance(key, lane);
  }

  #advance(key: string, lane: Lane): void {
    const hosts = key.split('_');
    while (!this.#closed && lane.retry === undefined && lane.posting < (lane.failing ? 1 : LANE_WIDTH)) {
      if (this.#posting >= MAX_POSTING) return;
      const job = lane.waiting.shift();
      if (job === undefined) break;
      if (!this.#jobs.has(job.id)) continue;
      job.posting = true;
      lane.posting += 1;
      this.#posting += 1;
      this.#post(job, hosts)
        .then((outcome) => this.#posted(job, key, lane, outcome))
        .catch((error: unknown) => this.#options.log.error({ err: error }, 'federation failed'))
        .finally(() => {
          job.posting = false;
          lane.posting -= 1;
          this.#posting -= 1;
          // A place that others may wait for: the lane that had one goes behind them.
          if (this.#posting === MAX_POSTING - 1) this.#advanceOthers(key, lane);
          this.#advance(key, lane);
        });
    }
    const isIdle = lane.waiting.length === 0 && lane.posting === 0 && lane.retry === undefined;
    if (isIdle && this.#lanes.get(key) === lane) this.#lanes.delete(key);
  }

  #advanceOthers(key: string, lane: Lane): void {
    if (this.#lanes.get(key) === lane) {
      this.#lanes.delete(key);
      this.#lanes.set(key, lane);
    }
    for (const [name, other] of this.#lanes) {
      if (this.#posting >= MAX_POSTING) return;
      if (other !== lane) this.#advance(name, other);
    }
  }

  #posted(job: Job, key: string, lane: Lane, outcome: Outcome): void {
    if (outcome !== 'expired') lane.failing = outcome === 'failed';
    if (outcome !== 'failed') {
      this.#finish(job, failureTexts[outcome]);
      return;
    }
    lane.waiting.push(job);
    lane.retry ??= setTimeout(() => {
      this.#retry(key, lane).catch((error: unknown) => this.#options.log.error({ err: error }, 'federation failed'));
    }, this.#timing.retryMs);
  }

  /** Starts a lane anew, in the order of sending. A twin may have other relays by now. */
  async #retry(key: string, lane: Lane): Promise<void> {
    const jobs = lane.waiting.splice(0).sort((one, other) => compareIds(one.id, other.id));
    lane.retry = undefined;
    await Promise.all(jobs.map((job) => this.#assign(job)));
    this.#advance(key, lane);
  }

  async #post(job: Job, hosts: readonly string[]): Promise<Outcome> {
    const { poster, metrics, log } = this.#options;
    const forbidden = new Set<string>();
    for (let round = 0; round < ROUNDS; round += 1) {
      if (round > 0) await pause(this.#timing.roundPauseMs * 2 ** (round - 1));
      for (const host of this.#ranking.order(hosts.filter((one) => !forbidden.has(one)))) {
        if (job.endsAt <= nowSeconds()) return 'expired';
        if (this.#closed) return 'failed';
        const answer = await poster.post(host, job.bytes);
        if (answer.result === 'accepted') {
          metrics.federated.inc(metrics.relayLabel(host));
          return 'accepted';
        }
        metrics.notFederated.inc(metrics.relayLabel(host));
        const uid = job.envelope.uid;
        log.info({ relay: host, uid, result: answer.result, reason: answer.reason }, 'another relay did not accept');
        if (answer.result === 'rejected') return 'rejected';
        if (answer.result === 'forbidden') forbidden.add(host);
        else this.#ranking.failed(host);
      }
      if (forbidden.size === hosts.length) return 'forbidden';
    }
    return 'failed';
  }

  #dropExpired(): void {
    const now = nowSeconds();
    for (const job of this.#jobs.values()) {
      if (!job.posting && job.endsAt <= now) this.#finish(job, relayTexts.expired);
    }
  }

  /** Ends a message's way; a request's sender hears of a failure. */
  #finish(job: Job, failure: string | undefined): void {
    if (this.#closed || !this.#jobs.delete(job.id)) return;
    const { metrics, mail, log } = this.#options;
    const { source, uid, message } = job.envelope;
    this.#shares.count(source?.twin ?? 0, -1, -job.bytes.length);
    metrics.federationWaiting.set(this.#jobs.size);
    this.#forget(job);
    if (failure === undefined) return;
    metrics.refused.inc({ reason: failure });
    if (message.case !== 'request' || source === undefined) return;
    mail.deliver(source, errorReply(uid, undefined, failure)).catch((error: unknown) => {
      log.error({ err: error }, 'sender not told of a failure');
    });
  }

  #forget(job: StoredJob): void {
    this.#store.done(job).catch((error: unknown) => {
      if (this.#closed) return;
      this.#options.log.warn({ reason: (error as Error).message }, 'a message stays in the federation store');
    });
    // There may be room for more now.
    if (this.#jobs.size === MAX_JOBS - 1) this.#take(false);
  }
}

function problemOf(twin: TwinRecord | undefined, job: Job): string | undefined {
  if (job.endsAt <= nowSeconds()) return relayTexts.expired;
  if (twin === undefined) return relayTexts.twinGone;
  return twin.relay.length === 0 ? relayTexts.relayGone : undefined;
}

/** Unix seconds at which a message's way ends; its id says when it was stored. */
function endOf({ id }: StoredJob, envelope: Envelope): number {
  const storedAt = Math.floor(Number(id.split('-')[0]) / 1000);
  return Math.min(remainingSeconds(envelope, 0), storedAt + LONGEST_SECONDS);
}

/** Ids of a Redis stream: milliseconds and a number. */
function compareIds(one: string, other: string): number {
  const [a = 0, b = 0] = one.split('-').map(Number);
  const [c = 0, d = 0] = other.split('-').map(Number);
  return a - c || b - d;
}

/** With up to half of it more, by chance: relays that failed together are not asked together. */
function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds * (1 + Math.random() / 2)));
}

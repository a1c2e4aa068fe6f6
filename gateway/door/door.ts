/** The checks every request passes, cheapest first. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import type { PayloadCipher } from '../rmb/cipher.ts';
import type { RequestHandler } from '../rmb/client.ts';
import { decodeEnvelope, type Envelope } from '../rmb/envelope.ts';
import { type SignatureVerifier, VerifierBusyError } from '../rmb/signature.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import { openPayload } from './decrypt.ts';
import { checkDestination } from './destination.ts';
import { checkLifetime } from './lifetime.ts';
import { DEFAULT_DOOR_LIMITS, type DoorLimits } from './limits.ts';
import { type Check, DoorMetrics } from './metrics.ts';
import { Concurrency, RateLimit } from './rate.ts';
import { ReplayMemory } from './replay.ts';
import { forgetfulLog, type ReplayLog } from './replay-log.ts';
import { checkShape, type Ignored } from './shape.ts';
import { checkSignature } from './signature.ts';
import { checkSize } from './size.ts';
import { findTwin } from './twin.ts';

export interface DoorOptions {
  readonly twinId: number;
  readonly session?: string | undefined;
  /** With a `TwinCache` in front of the chain. */
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly cipher: PayloadCipher;
  /** Sends an answer to a verified sender, as `RmbClient.answer`. */
  readonly answer: (request: Envelope, twin: TwinRecord, answer: Answer) => Promise<void>;
  readonly log: Logger;
  readonly registry?: Registry;
  /** Default: a restart forgets which requests were let in. */
  readonly replayLog?: ReplayLog;
  readonly limits?: Partial<DoorLimits>;
  readonly requireEncryption?: boolean;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** A request that passed: who sent it is proven. */
export interface AdmittedRequest {
  readonly uid: string;
  readonly command: string;
  readonly twin: TwinRecord;
  readonly session: string | undefined;
  /** In clear; empty where the client sends nothing. */
  readonly payload: Uint8Array;
  readonly encrypted: boolean;
  /** Unix seconds after which nobody waits for the answer. */
  readonly expiresAtSeconds: number;
  /** Answers and gives the request's place back. */
  reply(answer: Answer): Promise<void>;
  /** Gives the place back without an answer; harmless after `reply`. */
  leave(): void;
}

export type Verdict =
  | { readonly outcome: 'admitted'; readonly request: AdmittedRequest }
  | { readonly outcome: 'refused'; readonly check: Check; readonly refusal: GridError; readonly answered: boolean }
  | { readonly outcome: 'ignored'; readonly reason: Ignored };

/** Refusals a second and twin that are told to senders whose request failed before they proved who they are. */
const TELL_PER_SECOND = 2;
const TELL_BURST = 10;

export class Door {
  readonly #options: DoorOptions;
  readonly #limits: DoorLimits;
  readonly #metrics: DoorMetrics;
  readonly #replay: ReplayMemory;
  readonly #replayLog: ReplayLog;
  readonly #rate: RateLimit;
  readonly #tell = new RateLimit(TELL_PER_SECOND, TELL_BURST);
  readonly #concurrency: Concurrency;
  readonly #now: () => number;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_DOOR_LIMITS, ...options.limits };
    this.#metrics = new DoorMetrics(options.registry);
    this.#replay = new ReplayMemory(this.#limits);
    this.#rate = new RateLimit(this.#limits.ratePerSecond, this.#limits.rateBurst);
    this.#concurrency = new Concurrency(this.#limits);
    this.#now = options.now ?? Date.now;
    this.#replayLog = options.replayLog ?? forgetfulLog;
    const earlier = this.#replayLog.begin(() => this.#replay.living(this.#nowSeconds()));
    for (const entry of earlier) this.#replay.restore(entry);
    options.verifier.warm();
  }

  /** For `RmbClient.serve`: admitted requests go to `run`, whose result or `GridError` is the answer. */
  handler(run: (request: AdmittedRequest) => Promise<Answer>): RequestHandler {
    return async ({ bytes, envelope }) => {
      const verdict = await this.admit(bytes, envelope);
      if (verdict.outcome !== 'admitted') return;
      const { request } = verdict;
      let answer: Answer;
      try {
        answer = await run(request);
      } catch (error) {
        answer = error instanceof GridError ? refusalAnswer(error) : crashAnswer(error, this.#options.log);
      }
      await request.reply(answer);
    };
  }

  /** Puts one envelope through the checks. Refusals reach the sender only where it proved who it is. */
  async admit(bytes: Uint8Array, decoded?: Envelope): Promise<Verdict> {
    const tooLarge = checkSize(bytes, this.#limits);
    let envelope: Envelope;
    try {
      envelope = decoded ?? decodeEnvelope(bytes);
    } catch (error) {
      if (!(error instanceof GridError)) throw error;
      return this.#refuse('shape', error);
    }
    const shape = checkShape(envelope);
    if (typeof shape === 'string') return this.#ignore(shape);
    if (shape !== undefined) return this.#refuse('shape', shape);
    const elsewhere = checkDestination(envelope, { twinId: this.#options.twinId, session: this.#options.session });
    if (elsewhere !== undefined) return this.#refuse('destination', elsewhere);
    if (tooLarge !== undefined) return await this.#refuseAndTell('size', tooLarge, envelope);
    const lifetime = checkLifetime(envelope, this.#nowSeconds(), this.#limits);
    if (lifetime !== undefined) return await this.#refuseAndTell('lifetime', lifetime, envelope);
    const replayed = this.#replay.check(envelope);
    // Never told: the answer would end the call the first copy belongs to.
    if (replayed !== undefined) return this.#refuse('replay', replayed);
    return await this.#admitTwin(envelope);
  }

  async #admitTwin(envelope: Envelope): Promise<Verdict> {
    const id = envelope.source?.twin ?? 0;
    const twin = await findTwin(this.#options.twins, id, this.#options.log);
    if (twin instanceof GridError) return this.#refuse('twin', twin);
    if (!this.#rate.take(id, this.#now())) {
      const { ratePerSecond, rateBurst } = this.#limits;
      const refusal = new GridError('rate_exceeded', { twin: id, perSecond: ratePerSecond, burst: rateBurst });
      return await this.#refuseAndTell('rate', refusal, envelope);
    }
    const leave = this.#concurrency.enter(id);
    if (leave instanceof GridError) return await this.#refuseAndTell('concurrency', leave, envelope);
    this.#metrics.running.set(this.#concurrency.running);
    let admitted = false;
    try {
      const verdict = await this.#admitSigned(envelope, twin, () => {
        leave();
        this.#metrics.running.set(this.#concurrency.running);
      });
      admitted = verdict.outcome === 'admitted';
      return verdict;
    } finally {
      if (!admitted) leave();
    }
  }

  async #admitSigned(envelope: Envelope, claimed: TwinRecord, leave: () => void): Promise<Verdict> {
    const { answer } = this.#options;
    const twin = await this.#verified(envelope, claimed);
    if (twin instanceof GridError) return this.#refuse('signature', twin);
    // Two copies may have been verified side by side: the first one in wins.
    const entered = this.#replay.enter(envelope, this.#nowSeconds());
    if (entered instanceof GridError) {
      if (entered.code === 'envelope_replayed') return this.#refuse('replay', entered);
      return await this.#tellNow('replay', entered, envelope, twin);
    }
    // Before anything runs: a process that ends after it must not let the next one run it again.
    await this.#replayLog.append(entered);
    const payload = await openPayload(envelope, twin, {
      twins: this.#options.twins,
      cipher: this.#options.cipher,
      log: this.#options.log,
      requireEncryption: this.#options.requireEncryption ?? false,
    });
    if (payload instanceof GridError) return await this.#tellNow('decrypt', payload, envelope, twin);
    this.#metrics.admitted.inc();
    const request: AdmittedRequest = {
      uid: envelope.uid,
      command: envelope.message.case === 'request' ? envelope.message.value.command : '',
      twin,
      session: envelope.source?.connection,
      payload,
      encrypted: envelope.payload.case === 'cipher',
      expiresAtSeconds: Number(envelope.timestamp + envelope.expiration),
      leave,
      reply: (reply) => {
        leave();
        return answer(envelope, twin, reply);
      },
    };
    return { outcome: 'admitted', request };
  }

  async #verified(envelope: Envelope, twin: TwinRecord): Promise<TwinRecord | GridError> {
    try {
      return await checkSignature(envelope, twin, this.#options);
    } catch (error) {
      if (!(error instanceof VerifierBusyError)) throw error;
      const { concurrency } = this.#limits;
      return new GridError('door_busy', { running: this.#concurrency.running, limit: concurrency }, { cause: error });
    }
  }

  #ignore(reason: Ignored): Verdict {
    this.#metrics.ignored.inc({ reason });
    return { outcome: 'ignored', reason };
  }

  #refuse(check: Check, refusal: GridError, answered = false): Verdict {
    this.#metrics.refused.inc({ check, code: refusal.code });
    this.#options.log.debug({ check, code: refusal.code, reason: refusal.message }, 'request refused');
    return { outcome: 'refused', check, refusal, answered };
  }

  /**
   * A refusal found before the sender proved who it is: it is verified now, a
   * few times a second for each twin, and answered if it is the twin.
   */
  async #refuseAndTell(check: Check, refusal: GridError, envelope: Envelope): Promise<Verdict> {
    const id = envelope.source?.twin ?? 0;
    if (this.#replay.check(envelope) !== undefined) return this.#refuse(check, refusal);
    const claimed = await findTwin(this.#options.twins, id, this.#options.log);
    if (claimed instanceof GridError || !this.#tell.take(id, this.#now())) return this.#refuse(check, refusal);
    const twin = await this.#verified(envelope, claimed);
    if (twin instanceof GridError) return this.#refuse(check, refusal);
    return await this.#tellNow(check, refusal, envelope, twin);
  }

  async #tellNow(check: Check, refusal: GridError, envelope: Envelope, twin: TwinRecord): Promise<Verdict> {
    try {
      await this.#options.answer(envelope, twin, refusalAnswer(refusal));
      this.#metrics.told.inc();
      return this.#refuse(check, refusal, true);
    } catch (error) {
      this.#options.log.warn({ twin: twin.id, reason: (error as Error).message }, 'refusal not sent');
      return this.#refuse(check, refusal);
    }
  }

  #nowSeconds(): number {
    return Math.floor(this.#now() / 1000);
  }
}

/** A defect of ours: the text clients know, the rest in the log. */
function crashAnswer(error: unknown, log: Logger): Answer {
  log.error({ err: error }, 'request handler crashed');
  const text = error instanceof Error ? error.message : String(error);
  return { kind: 'error', code: 0, message: `handler panicked with: ${text}` };
}

/**
 * The checks every request passes, cheapest first. Why in this order:
 * docs/decisions/0008-order-of-the-door.md.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { GridError } from '../../schemas/errors/index.ts';
import type { PayloadCipher } from '../rmb/cipher.ts';
import type { RequestHandler } from '../rmb/client.ts';
import { decodeEnvelope, type Envelope } from '../rmb/envelope.ts';
import { type SignatureVerifier, VerifierBusyError } from '../rmb/signature.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import { checkClock } from './clock.ts';
import { Concurrency } from './concurrency.ts';
import { openPayload } from './decrypt.ts';
import { checkDestination } from './destination.ts';
import { answerRequest, type Run } from './handler.ts';
import { checkLifetime } from './lifetime.ts';
import { DEFAULT_DOOR_LIMITS, type DoorLimits } from './limits.ts';
import { type Check, DoorMetrics } from './metrics.ts';
import { Overload } from './overload.ts';
import { checkPolicy } from './policy.ts';
import { Rates } from './rate.ts';
import { Refusals, type SendAnswer } from './refusals.ts';
import { ReplayMemory } from './replay.ts';
import { forgetfulLog, type ReplayLog } from './replay-log.ts';
import { inRequestTrace } from './request-trace.ts';
import { checkShape } from './shape.ts';
import { checkSignature, checkSignatureForm } from './signature.ts';
import { checkFrameSize, checkPayloadSize } from './size.ts';
import { TwinDesk } from './twin.ts';
import type { AdmittedRequest, Verdict } from './verdict.ts';

export type { AdmittedRequest, Verdict };

export interface DoorOptions {
  readonly twinId: number;
  readonly session?: string | undefined;
  /** With a `TwinCache` in front of the chain. */
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly cipher: PayloadCipher;
  readonly answer: SendAnswer;
  readonly log: Logger;
  readonly registry?: Registry;
  /** Default: a restart forgets which requests were let in. */
  readonly replayLog?: ReplayLog;
  readonly limits?: Partial<DoorLimits>;
  readonly requireEncryption?: boolean;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** A request's place: `pass` when the door's own work is done, `leave` when all is. Both may be called again. */
interface Place {
  readonly leave: () => void;
  readonly pass: () => void;
}

export class Door {
  readonly #options: DoorOptions;
  readonly #limits: DoorLimits;
  readonly #metrics: DoorMetrics;
  readonly #refusals: Refusals;
  readonly #replay: ReplayMemory;
  readonly #replayLog: ReplayLog;
  readonly #twins: TwinDesk;
  readonly #rates: Rates;
  readonly #concurrency: Concurrency;
  readonly #overload: Overload;
  readonly #now: () => number;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_DOOR_LIMITS, ...options.limits };
    this.#metrics = new DoorMetrics(options.registry);
    this.#replay = new ReplayMemory(this.#limits);
    this.#twins = new TwinDesk(options, this.#limits.lookups, options.log);
    this.#rates = new Rates(this.#limits);
    this.#concurrency = new Concurrency(this.#limits);
    this.#overload = new Overload(this.#limits);
    this.#now = options.now ?? Date.now;
    this.#refusals = new Refusals({
      answer: options.answer,
      log: options.log,
      metrics: this.#metrics,
      limits: this.#limits,
      now: this.#now,
      overloaded: () => this.#overload.standing,
      prove: (envelope) => this.#prove(envelope),
    });
    this.#replayLog = options.replayLog ?? forgetfulLog;
    const earlier = this.#replayLog.begin(() => this.#replay.living(this.#nowSeconds()));
    for (const entry of earlier) this.#replay.restore(entry);
    options.verifier.warm();
  }

  /**
   * For `RmbClient.serve`: admitted requests go to `run`, whose result or
   * `GridError` is the answer. What it returns settles when the request has
   * been answered, refused or dropped, so that who waits for it reads no more
   * than the door holds.
   */
  handler(run: Run): RequestHandler {
    return async ({ bytes, envelope }) => {
      const arrivedAt = Date.now();
      const verdict = await this.admit(bytes, envelope);
      if (verdict.outcome !== 'admitted') return;
      const { request } = verdict;
      await inRequestTrace(request, arrivedAt, () =>
        answerRequest(request, run, this.#options.log, () => this.#metrics.unsent.inc()),
      );
    };
  }

  /** Counts a refusal of who runs the requests. */
  count(check: Check, { code }: GridError): void {
    this.#metrics.refused.inc({ check, code });
  }

  /** Puts one envelope through the checks. Refusals reach the sender only where it proved who it is. */
  async admit(bytes: Uint8Array, decoded?: Envelope): Promise<Verdict> {
    const arrivedAt = performance.now();
    let envelope: Envelope;
    try {
      envelope = decoded ?? decodeEnvelope(bytes);
    } catch (error) {
      if (!(error instanceof GridError)) throw error;
      return this.#refusals.refuse('shape', error);
    }
    const shape = checkShape(envelope);
    if (typeof shape === 'string') return this.#refusals.ignore(shape);
    if (shape !== undefined) return this.#refusals.refuse('shape', shape);
    const elsewhere = checkDestination(envelope, { twinId: this.#options.twinId, session: this.#options.session });
    if (elsewhere !== undefined) return this.#refusals.refuse('destination', elsewhere);
    const unsigned = checkSignatureForm(envelope);
    if (unsigned !== undefined) return this.#refusals.refuse('signature', unsigned);
    const replayed = this.#replay.check(envelope);
    // Never told: the answer would end the call the first copy belongs to.
    if (replayed !== undefined) return this.#refusals.refuse('replay', replayed);

    const tooLarge = checkFrameSize(bytes, this.#limits) ?? checkPayloadSize(envelope, this.#limits);
    if (tooLarge !== undefined) return await this.#refusals.proveAndTell('size', tooLarge, envelope);
    const lifetime = checkLifetime(envelope, this.#nowSeconds(), this.#limits);
    if (lifetime !== undefined) return await this.#refusals.proveAndTell('lifetime', lifetime, envelope);
    const clock = checkClock(envelope, this.#nowSeconds(), this.#limits);
    if (clock !== undefined) return await this.#refusals.proveAndTell('clock', clock, envelope);

    const claimed = await this.#twins.find(envelope.source?.twin ?? 0);
    if (claimed instanceof GridError) return this.#refusals.refuse('twin', claimed);
    const rate = this.#rates.check(claimed.id, this.#now());
    if (rate !== undefined) return await this.#refusals.proveAndTell('rate', rate, envelope);
    return await this.#admitWithPlace(envelope, claimed, bytes.length, arrivedAt);
  }

  async #admitWithPlace(
    envelope: Envelope,
    claimed: TwinRecord,
    sizeBytes: number,
    arrivedAt: number,
  ): Promise<Verdict> {
    const giveBack = this.#concurrency.enter(claimed.id, sizeBytes);
    if (giveBack instanceof GridError) {
      // Of a twin beyond its own share no queue grows, and others need not make room for it.
      if (giveBack.code !== 'concurrency_exceeded') this.#overload.full(arrivedAt);
      return await this.#refusals.proveAndTell('concurrency', giveBack, envelope);
    }
    const leave = (): void => {
      giveBack();
      this.#metrics.running.set(this.#concurrency.running);
    };
    const inside = this.#overload.enter(arrivedAt);
    this.#metrics.overloaded.set(this.#overload.standing ? 1 : 0);
    if (inside instanceof GridError) {
      leave();
      return await this.#refusals.proveAndTell('overload', inside, envelope);
    }
    this.#metrics.running.set(this.#concurrency.running);
    const pass = (): void => inside(performance.now());
    let admitted = false;
    try {
      const verdict = await this.#admitSigned(envelope, claimed, { leave, pass });
      admitted = verdict.outcome === 'admitted';
      if (admitted) this.#metrics.seconds.observe((performance.now() - arrivedAt) / 1000);
      return verdict;
    } finally {
      pass();
      if (!admitted) leave();
    }
  }

  async #admitSigned(envelope: Envelope, claimed: TwinRecord, { leave, pass }: Place): Promise<Verdict> {
    const { answer } = this.#options;
    const signer = await this.#verified(envelope, claimed);
    if (signer instanceof GridError) {
      return this.#refusals.refuse(signer.code === 'door_overloaded' ? 'overload' : 'signature', signer);
    }
    // Two copies may have been verified side by side: the first one in wins.
    const replayed = this.#replay.check(envelope);
    if (replayed !== undefined) return this.#refusals.refuse('replay', replayed);
    // What has expired while it waited is not remembered any more: its copy could run, too.
    const expired = checkLifetime(envelope, this.#nowSeconds(), this.#limits);
    if (expired !== undefined) return await this.#refusals.tell('lifetime', expired, envelope, signer);
    const entered = this.#replay.enter(envelope, this.#nowSeconds());
    if (entered instanceof GridError) {
      if (entered.code === 'envelope_replayed') return this.#refusals.refuse('replay', entered);
      return await this.#refusals.tell('replay', entered, envelope, signer);
    }
    // Before anything runs: a process that ends after it must not let the next one run it again.
    await this.#replayLog.append(entered);
    // What follows may wait for others than the door: the chain, or a relay that takes a refusal.
    pass();
    const allowed = await checkPolicy(envelope, signer, this.#options);
    if (allowed instanceof GridError) return await this.#refusals.tell('policy', allowed, envelope, signer);
    const open = await openPayload(envelope, allowed, this.#options);
    if (open instanceof GridError) return await this.#refusals.tell('decrypt', open, envelope, allowed);
    const { payload, twin } = open;
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
      reply: async (reply) => {
        try {
          await answer(envelope, twin, reply);
        } finally {
          // Not earlier: an answer that waits for a slow relay takes memory, too.
          leave();
        }
      },
    };
    return { outcome: 'admitted', request };
  }

  /** The twin that signed the envelope. */
  async #prove(envelope: Envelope): Promise<TwinRecord | GridError> {
    const claimed = await this.#twins.find(envelope.source?.twin ?? 0);
    return claimed instanceof GridError ? claimed : await this.#verified(envelope, claimed);
  }

  async #verified(envelope: Envelope, claimed: TwinRecord): Promise<TwinRecord | GridError> {
    const askedAt = performance.now();
    try {
      return await checkSignature(envelope, claimed, this.#options);
    } catch (error) {
      if (!(error instanceof VerifierBusyError)) throw error;
      const waitMs = Math.round(performance.now() - askedAt);
      const numbers = { waitMs, limitMs: this.#limits.overloadWaitMs, retryAfterSeconds: 1 };
      return new GridError('door_overloaded', numbers, { cause: error });
    }
  }

  #nowSeconds(): number {
    return Math.floor(this.#now() / 1000);
  }
}

/** Requests of local clients: out to other twins, and their answers back. */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { type PendingCall, receiveAnswer } from '../rmb/answers.ts';
import type { PayloadCipher } from '../rmb/cipher.ts';
import type { RmbClient } from '../rmb/client.ts';
import { type Envelope, formatAddress, nowSeconds } from '../rmb/envelope.ts';
import { RmbError } from '../rmb/errors.ts';
import type { SignatureVerifier } from '../rmb/signature.ts';
import type { TwinSource } from '../rmb/twins.ts';
import { type Failure, failureOfSending, failures } from './failures.ts';
import {
  decodeBase64,
  formatClientAnswer,
  formatLocalFailure,
  type LocalRequest,
  MAX_MESSAGE_BYTES,
  readLocalRequest,
  type Unreadable,
  unreadable,
} from './messages.ts';
import type { LocalMetrics } from './metrics.ts';
import { problemOfReturn } from './names.ts';
import type { LocalStore, Taken } from './store.ts';

export interface AskingOptions {
  readonly store: LocalStore;
  readonly peer: RmbClient;
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly cipher: PayloadCipher;
  readonly metrics: LocalMetrics;
  readonly log: Logger;
  /** Whether local programs may send as this twin. */
  readonly allowed: boolean;
}

/** Seconds a request lives at most. */
const MAX_LIFETIME_SECONDS = 1800;
const SCHEMA = 'application/json';
const DESTINATIONS_AT_ONCE = 16;
/** Milliseconds an answer to a client is tried to be written while Redis is away. */
const TELL_PATIENCE_MS = 60_000;
const MAX_ANSWERS_AT_ONCE = 512;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class Asking {
  readonly #options: AskingOptions;
  /** How often answers to a request were looked at; a stranger who knows the uid must not cost more. */
  readonly #calls = new LRUCache<string, PendingCall>({ max: 8192 });
  #answers = 0;
  #answerBytes = 0;

  constructor(options: AskingOptions) {
    this.#options = options;
    options.peer.onAnswer((envelope) => this.#receive(envelope));
  }

  /** Sends one request of the queue to all its destinations. */
  async work(message: Taken): Promise<void> {
    const { metrics, allowed } = this.#options;
    const reading =
      message.sizeBytes > MAX_MESSAGE_BYTES ? { unreadable: tooLong(message) } : readLocalRequest(message.text);
    if ('unreadable' in reading) return await this.#refuseUnreadable(reading.unreadable);
    const request = reading.message;
    const problem = problemOfReturn(request.ret);
    if (problem !== undefined) {
      metrics.requests.inc({ outcome: 'bad_ret' });
      this.#options.log.warn({ ret: request.ret.slice(0, 128), problem }, 'a local request was dropped');
      return;
    }
    if (!allowed)
      return await this.#refuse(request, failures.other('this node lets no local program send as its twin'));
    const payload = decodeBase64(request.dat);
    if (payload === undefined) return await this.#refuse(request, failures.payloadData('dat is not standard base64'));
    // A time of 0 or of the future means when the message came.
    const now = nowSeconds();
    const { takenAt } = message;
    const startedAt = request.now === 0 || request.now > takenAt ? takenAt : request.now;
    const expiresAt = Math.min(startedAt + request.exp, takenAt + MAX_LIFETIME_SECONDS);
    if (expiresAt <= now) {
      const text = `exp is ${request.exp} s from ${startedAt} on, this clock says ${now}`;
      return await this.#refuse(request, failures.expired(text));
    }
    await this.#send(message.id, request, payload, expiresAt);
  }

  /** Answers a request that came when too many wait already. */
  async refuse(message: Taken): Promise<void> {
    const reading = readLocalRequest(message.text);
    if ('unreadable' in reading) return await this.#refuseUnreadable(reading.unreadable);
    if (problemOfReturn(reading.message.ret) !== undefined) return;
    await this.#refuse(reading.message, failures.other('too many requests wait to be sent; try again later'));
  }

  async #refuseUnreadable({ problem, ret, ref }: Unreadable): Promise<void> {
    const { metrics, log } = this.#options;
    metrics.requests.inc({ outcome: 'malformed' });
    log.warn({ problem }, 'a local request is malformed');
    if (ret === undefined || problemOfReturn(ret) !== undefined) return;
    await this.#tell(ret, formatLocalFailure(ref, failures.other(problem)));
  }

  async #refuse(request: LocalRequest, failure: Failure): Promise<void> {
    this.#options.metrics.requests.inc({ outcome: 'refused' });
    this.#options.log.info({ command: request.cmd, failure }, 'a local request was refused');
    await this.#tell(request.ret, formatLocalFailure(request.ref, failure));
  }

  async #send(uid: string, request: LocalRequest, payload: Uint8Array, expiresAt: number): Promise<void> {
    const { store, metrics } = this.#options;
    const destinations = [...new Set(request.dst)];
    // Clients write an empty session where they mean none.
    const session = request.con ? request.con : undefined;
    const asked = { ref: request.ref ?? null, ret: request.ret, session, destinations, expiresAtSeconds: expiresAt };
    const tracked = await store.insist(() => store.track(uid, asked), expiresAt * 1000);
    if (tracked === 'full') return await this.#refuse(request, failures.other('too many requests wait for answers'));
    metrics.requests.inc({ outcome: 'accepted' });
    const post = async (twin: number): Promise<void> => {
      // Taken a second time, as after a crash: only those who have not answered, with the uid of the first time.
      if (tracked === 'again' && (await store.insist(() => store.asked(uid, twin), expiresAt * 1000)) === undefined)
        return;
      const failure = await this.#post(uid, request, payload, { twin, session, expiresAt });
      if (failure === undefined) return;
      metrics.sendFailures.inc({ code: failure.code });
      const text = formatLocalFailure(request.ref, failure);
      await store.insist(() => store.giveAnswer(uid, twin, request.ret, text), Date.now() + TELL_PATIENCE_MS);
    };
    const next = destinations.values();
    const lanes = Array.from({ length: DESTINATIONS_AT_ONCE }, async () => {
      for (const twin of next) await post(twin);
    });
    await Promise.all(lanes);
  }

  async #post(
    uid: string,
    request: LocalRequest,
    payload: Uint8Array,
    to: { readonly twin: number; readonly session: string | undefined; readonly expiresAt: number },
  ): Promise<Failure | undefined> {
    const { peer, store } = this.#options;
    const lifetimeSeconds = to.expiresAt - nowSeconds();
    if (lifetimeSeconds < 1) return failures.expired('its time was over before it could be sent');
    try {
      await peer.post({
        uid,
        twin: to.twin,
        session: to.session,
        command: request.cmd,
        payload,
        tags: request.tag ? request.tag : undefined,
        schema: request.shm ? request.shm : SCHEMA,
        lifetimeSeconds,
        signal: store.stopping,
      });
      return undefined;
    } catch (error) {
      if (store.stopping.aborted) throw error;
      return failureOfSending(error, to.twin);
    }
  }

  async #tell(ret: string, text: string): Promise<void> {
    const { store } = this.#options;
    await store.insist(() => store.tell(ret, text), Date.now() + TELL_PATIENCE_MS);
  }

  #receive(envelope: Envelope): void {
    const { metrics, log } = this.#options;
    if (envelope.uid.length !== 36) return;
    const bytes = envelope.payload.value?.length ?? 0;
    if (this.#answers >= MAX_ANSWERS_AT_ONCE || this.#answerBytes + bytes > MAX_ANSWER_BYTES) {
      metrics.answers.inc({ outcome: 'busy' });
      log.warn({ uid: envelope.uid }, 'an answer was dropped: too many at once');
      return;
    }
    this.#answers += 1;
    this.#answerBytes += bytes;
    this.#deliver(envelope)
      .then(
        (outcome) => metrics.answers.inc({ outcome }),
        (error: unknown) => {
          metrics.answers.inc({ outcome: 'failed' });
          log.error({ uid: envelope.uid, err: error }, 'an answer could not be given to its client');
        },
      )
      .finally(() => {
        this.#answers -= 1;
        this.#answerBytes -= bytes;
      });
  }

  async #deliver(envelope: Envelope): Promise<string> {
    const { store, log } = this.#options;
    const { uid, source } = envelope;
    const until = Date.now() + TELL_PATIENCE_MS;
    const fromRelay = source === undefined || source.twin === 0;
    if (fromRelay && envelope.message.case !== 'error') return 'unsigned';
    const twin = fromRelay ? undefined : source.twin;
    const asked = await store.insist(() => store.asked(uid, twin), until);
    if (asked === undefined) return 'not_waited_for';
    const result = fromRelay ? relayFailure(envelope) : await this.#open(envelope, source.twin, asked.session, until);
    if (typeof result === 'string') {
      log.warn({ uid, twin, reason: result }, 'an answer was not believed');
      return 'not_believed';
    }
    const text = formatClientAnswer({
      ref: asked.ref,
      source: fromRelay ? '0' : formatAddress(source),
      schema: fromRelay ? null : (envelope.schema ?? null),
      timestamp: Number(envelope.timestamp),
      result,
    });
    const given = await store.insist(() => store.giveAnswer(uid, twin, asked.ret, text), until);
    return given ? 'given' : 'not_waited_for';
  }

  /** What the answer says, or as a text why it is not the answer. */
  async #open(
    envelope: Envelope,
    twin: number,
    session: string | undefined,
    until: number,
  ): Promise<Uint8Array | Failure | string> {
    const { peer, twins, store } = this.#options;
    const key = `${envelope.uid} ${twin}`;
    const call = this.#calls.get(key) ?? { twin, session, answersSeen: 0, settle: () => undefined };
    this.#calls.set(key, call);
    const self = { twinId: peer.twinId, session: peer.session };
    const seen = call.answersSeen;
    const result = await store.insist(() => {
      // Looked at again because the chain was away: still one answer.
      call.answersSeen = seen;
      return receiveAnswer(envelope, call, self, this.#options);
    }, until);
    if (result === undefined) return 'it is not from the address that was asked, or not to us';
    if (result instanceof Uint8Array) return result;
    if (result.kind === 'refused') return { code: result.code ?? 0, message: result.message };
    if (!(result instanceof RmbError) || result.kind !== 'bad-answer') return result.message;
    const record = await twins.twin(twin);
    return record?.encryptionKey == null ? failures.noPublicKey() : failures.encryption(result.message);
  }
}

/** Relays sign nothing: what one says only ends the request. */
function relayFailure(envelope: Envelope): Failure {
  if (envelope.message.case !== 'error') return failures.payloadType();
  const { code, message } = envelope.message.value;
  return { code, message: message.slice(0, 4096) };
}

function tooLong({ text, sizeBytes }: Taken): Unreadable {
  return unreadable(text, undefined, `the message has ${sizeBytes} bytes, at most ${MAX_MESSAGE_BYTES} are taken`);
}

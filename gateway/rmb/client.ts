/** A peer: calls other twins through relays, and answers them. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from './answer.ts';
import { type PendingCall, receiveAnswer } from './answers.ts';
import { challenge } from './challenge.ts';
import { PayloadCipher } from './cipher.ts';
import {
  address,
  createEnvelope,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  MAX_FRAME_BYTES,
  nowSeconds,
} from './envelope.ts';
import { RmbError } from './errors.ts';
import type { Identity } from './keys.ts';
import { Outbox } from './outbox.ts';
import { SignatureVerifier } from './signature.ts';
import { RelaySocket, type SocketTiming } from './socket.ts';
import { createToken } from './token.ts';
import type { TwinRecord, TwinSource } from './twins.ts';

export interface RmbClientOptions {
  /** `ws://` or `wss://` URLs of the twin's relays, at most 4. */
  readonly relays: readonly string[];
  readonly identity: Identity;
  readonly twinId: number;
  /** Absent for the twin's default connection, as nodes use. */
  readonly session?: string | undefined;
  readonly twins: TwinSource;
  readonly log?: Logger | undefined;
  /** Shared where several clients live in one process. */
  readonly verifier?: SignatureVerifier;
  readonly timing?: Partial<SocketTiming>;
}

export interface CallRequest {
  readonly twin: number;
  /** The other side's session, for services that use one. */
  readonly session?: string | undefined;
  readonly command: string;
  readonly payload: string | Uint8Array;
  readonly deadlineMs: number;
  /** Default `when-possible`: both twins have their key on the chain. */
  readonly encrypt?: 'when-possible' | 'never' | 'always';
  readonly signal?: AbortSignal | undefined;
}

/** A request whose sender waits elsewhere: it chose the uid, and several twins may get the same. */
export interface PostedRequest {
  readonly uid: string;
  readonly twin: number;
  readonly session?: string | undefined;
  readonly command: string;
  readonly payload: Uint8Array;
  readonly tags?: string | undefined;
  readonly schema: string;
  /** Seconds from now, from 1 to 1800. */
  readonly lifetimeSeconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** A request as it came from the relay: nothing about it is verified. */
export interface IncomingRequest {
  readonly bytes: Uint8Array;
  readonly envelope: Envelope;
}

export type RequestHandler = (request: IncomingRequest) => Promise<void>;

const SCHEMA = 'application/json';
const ANSWER_LIFETIME_SECONDS = 300;
const MAX_LIFETIME_SECONDS = 1800;
const LONGEST_CALL_MS = MAX_LIFETIME_SECONDS * 1000;
const MAX_PENDING_CALLS = 4096;
const MAX_SERVING = 1024;
const ANSWER_WAIT_MS = 30_000;

export class RmbClient {
  readonly twinId: number;
  readonly session: string | undefined;
  readonly #identity: Identity;
  readonly #twins: TwinSource;
  readonly #log: Logger | undefined;
  readonly #cipher: PayloadCipher;
  readonly #verifier: SignatureVerifier;
  readonly #ownsVerifier: boolean;
  readonly #sockets: readonly RelaySocket[];
  readonly #outbox: Outbox;
  readonly #pending = new Map<string, PendingCall>();
  readonly #openWaiters = new Set<() => void>();
  #handler: RequestHandler | undefined;
  #unclaimed: ((answer: Envelope) => void) | undefined;
  #serving = 0;
  #closed = false;

  constructor(options: RmbClientOptions) {
    if (options.relays.length < 1 || options.relays.length > 4) {
      throw new RangeError(`the number of relays should be 1 to 4, not ${options.relays.length}`);
    }
    this.twinId = options.twinId;
    this.session = options.session;
    this.#identity = options.identity;
    this.#twins = options.twins;
    this.#log = options.log;
    this.#cipher = new PayloadCipher(options.identity);
    this.#ownsVerifier = options.verifier === undefined;
    this.#verifier = options.verifier ?? new SignatureVerifier();
    this.#outbox = new Outbox(() => this.#sockets);
    this.#sockets = options.relays.map(
      (url) =>
        new RelaySocket({
          url,
          token: () => createToken(this.#identity, this.twinId, this.session, nowSeconds()),
          onFrame: (bytes) => this.#receive(bytes),
          onRoom: () => this.#outbox.flush(),
          onState: (state, reason) => {
            if (this.#closed) return;
            this.#log?.[state === 'open' ? 'info' : 'warn']({ relay: url, state, reason }, 'relay connection');
            if (state === 'open') for (const wake of this.#openWaiters) wake();
          },
          ...(options.timing === undefined ? {} : { timing: options.timing }),
        }),
    );
  }

  /** Whether at least one relay is connected. */
  get connected(): boolean {
    return this.#sockets.some((socket) => socket.open);
  }

  /**
   * Opens the relays and resolves when the first is connected. After a
   * `relay-lost` rejection the client goes on trying until it is closed.
   */
  async connect(options: { readonly deadlineMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    for (const socket of this.#sockets) socket.start();
    if (this.connected) return;
    const deadlineMs = options.deadlineMs ?? 15_000;
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: RmbError): void => {
        clearTimeout(timer);
        this.#openWaiters.delete(opened);
        options.signal?.removeEventListener('abort', aborted);
        if (error === undefined) resolve();
        else reject(error);
      };
      const opened = (): void => finish();
      const aborted = (): void => finish(new RmbError('cancelled', 'connecting was cancelled'));
      const timer = setTimeout(() => {
        const problems = this.#sockets.map(({ url, lastProblem }) => `${url}: ${lastProblem}`).join(', ');
        finish(new RmbError('relay-lost', `no relay connected within ${deadlineMs} ms (${problems})`));
      }, deadlineMs);
      this.#openWaiters.add(opened);
      options.signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Sends a request and resolves with the answer's payload, verified and decrypted. Throws `RmbError`. */
  async call(request: CallRequest): Promise<Uint8Array> {
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    if (request.signal?.aborted) throw new RmbError('cancelled', 'the call was cancelled');
    if (!(request.deadlineMs > 0 && request.deadlineMs <= LONGEST_CALL_MS)) {
      throw new RangeError(`deadlineMs is ${request.deadlineMs}, not from 1 to ${LONGEST_CALL_MS}`);
    }
    if (this.#pending.size >= MAX_PENDING_CALLS) {
      throw new RmbError('busy', `${this.#pending.size} calls wait for their answers already`);
    }
    const uid = newUid();
    let sent = false;
    return await new Promise<Uint8Array>((resolve, reject) => {
      const settle = (result: Uint8Array | RmbError): void => {
        if (!this.#pending.delete(uid)) return;
        clearTimeout(timer);
        request.signal?.removeEventListener('abort', onAbort);
        ending.abort();
        if (result instanceof RmbError) reject(result);
        else resolve(result);
      };
      const ending = new AbortController();
      const onAbort = (): void => settle(new RmbError('cancelled', 'the call was cancelled'));
      const timer = setTimeout(() => {
        const text = sent
          ? `no answer from twin ${request.twin} to ${request.command} within ${request.deadlineMs} ms`
          : `${request.command} to twin ${request.twin} could not be sent within ${request.deadlineMs} ms: ${this.#problems()}`;
        settle(new RmbError(sent ? 'timeout' : 'relay-lost', text));
      }, request.deadlineMs);
      request.signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(uid, { twin: request.twin, session: request.session, answersSeen: 0, settle });
      this.#send(uid, request, ending.signal).then(
        () => {
          sent = true;
        },
        (error: unknown) => settle(asRmbError(error)),
      );
    });
  }

  /** From now on requests go to `handler`; a rejected handler is logged and answers nothing. */
  serve(handler: RequestHandler): void {
    this.#handler = handler;
  }

  /**
   * Hands a request to a relay, within its life time. Answers come to the
   * `onAnswer` handler. Throws `RmbError`, and `RangeError` for what no relay takes.
   */
  async post(request: PostedRequest): Promise<void> {
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    const { lifetimeSeconds } = request;
    if (!(lifetimeSeconds >= 1 && lifetimeSeconds <= MAX_LIFETIME_SECONDS)) {
      throw new RangeError(`lifetimeSeconds is ${lifetimeSeconds}, not from 1 to ${MAX_LIFETIME_SECONDS}`);
    }
    const twin = await this.#lookUp(request.twin);
    if (twin === undefined) throw new RmbError('unknown-twin', `unknown twin id '${request.twin}'`);
    const envelope = createEnvelope({
      uid: request.uid,
      expiration: BigInt(Math.floor(lifetimeSeconds)),
      source: address(this.twinId, this.session),
      destination: address(request.twin, request.session),
      message: { case: 'request', value: { command: request.command } },
      schema: request.schema,
      ...(request.tags === undefined ? {} : { tags: request.tags }),
    });
    await this.#seal(envelope, request.payload, twin, 'when-possible');
    const bytes = encodeEnvelope(envelope);
    if (bytes.length > MAX_FRAME_BYTES) {
      throw new RangeError(`the message has ${bytes.length} bytes, relays take ${MAX_FRAME_BYTES}`);
    }
    await this.#outbox.send(bytes, lifetimeSeconds * 1000, request.signal);
  }

  /** From now on answers to none of this client's own calls go to `handler`; nothing about them is verified. */
  onAnswer(handler: (answer: Envelope) => void): void {
    this.#unclaimed = handler;
  }

  /** Sends the answer to a verified request: signed, and encrypted when both twins have a key. */
  async answer(request: Envelope, twin: TwinRecord, answer: Answer): Promise<void> {
    const payload = toBytes(answer.payload ?? 'null');
    const envelope = createEnvelope({
      uid: request.uid,
      expiration: BigInt(ANSWER_LIFETIME_SECONDS),
      source: address(this.twinId, this.session),
      destination: address(request.source?.twin ?? twin.id, request.source?.connection),
      message:
        answer.kind === 'response'
          ? { case: 'response', value: {} }
          : { case: 'error', value: { code: answer.code, message: answer.message } },
      schema: SCHEMA,
    });
    // Who encrypts to us has our key; else the chain decides, and an answer is not lost while it is away.
    const encrypt =
      request.payload.case === 'cipher' || (await this.#ownKeyIsPublished().catch(() => false)) ? 'assured' : 'never';
    // An empty payload makes the TypeScript client wait until the answer expires.
    await this.#seal(envelope, payload.length === 0 ? toBytes('null') : payload, twin, encrypt);
    const bytes = encodeEnvelope(envelope);
    if (bytes.length > MAX_FRAME_BYTES) {
      // A relay would end our line for it, and with it the answers to everybody else.
      const sizes = { sizeBytes: bytes.length, limitBytes: MAX_FRAME_BYTES };
      return await this.answer(request, twin, refusalAnswer(new GridError('answer_too_large', sizes)));
    }
    await this.#outbox.send(bytes, ANSWER_WAIT_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { settle } of this.#pending.values()) settle(new RmbError('closed', 'the client was closed'));
    this.#outbox.close();
    await Promise.all(this.#sockets.map((socket) => socket.close()));
    if (this.#ownsVerifier) await this.#verifier.close();
  }

  async #send(uid: string, request: CallRequest, signal: AbortSignal): Promise<void> {
    const twin = await this.#lookUp(request.twin);
    if (twin === undefined) throw new RmbError('unknown-twin', `unknown twin id '${request.twin}'`);
    const lifetime = Math.min(MAX_LIFETIME_SECONDS, Math.ceil(request.deadlineMs / 1000) + 1);
    const envelope = createEnvelope({
      uid,
      expiration: BigInt(lifetime),
      source: address(this.twinId, this.session),
      destination: address(request.twin, request.session),
      message: { case: 'request', value: { command: request.command } },
      schema: SCHEMA,
    });
    await this.#seal(envelope, toBytes(request.payload), twin, request.encrypt ?? 'when-possible');
    if (!this.#pending.has(uid)) return;
    await this.#outbox.send(encodeEnvelope(envelope), request.deadlineMs, signal);
  }

  /** Fills payload, time and signature. */
  async #seal(
    envelope: Envelope,
    plain: Uint8Array,
    to: TwinRecord,
    encrypt: 'when-possible' | 'never' | 'always' | 'assured',
  ): Promise<void> {
    const wanted = encrypt !== 'never' && to.encryptionKey !== null;
    const possible = wanted && (encrypt === 'assured' || (await this.#ownKeyIsPublished()));
    if (encrypt === 'always' && !possible) {
      const who = to.encryptionKey === null ? `twin ${to.id}` : `our twin ${this.twinId}`;
      throw new RmbError('no-encryption', `${who} has no usable encryption key on the chain`);
    }
    envelope.payload =
      possible && to.encryptionKey !== null
        ? { case: 'cipher', value: this.#cipher.encrypt(plain, to.encryptionKey) }
        : { case: 'plain', value: plain };
    envelope.timestamp = BigInt(nowSeconds());
    envelope.signature = this.#identity.sign(challenge(envelope));
  }

  /** The other side decrypts with the key our twin has on the chain: ours must be that one. */
  async #ownKeyIsPublished(): Promise<boolean> {
    const own = await this.#lookUp(this.twinId);
    return own?.encryptionKey != null && Buffer.compare(own.encryptionKey, this.#identity.encryptionKey) === 0;
  }

  async #lookUp(id: number): Promise<TwinRecord | undefined> {
    try {
      return await this.#twins.twin(id);
    } catch (error) {
      throw new RmbError('twin-lookup', `twin ${id} could not be looked up`, { cause: error });
    }
  }

  #receive(bytes: Uint8Array): void {
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      this.#log?.warn({ sizeBytes: bytes.length, reason: (error as Error).message }, 'dropped a frame');
      return;
    }
    if (envelope.message.case === 'request') this.#serve({ bytes, envelope });
    else if (envelope.message.case === 'response' || envelope.message.case === 'error') this.#match(envelope);
  }

  #serve(request: IncomingRequest): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    if (this.#serving >= MAX_SERVING) {
      this.#log?.warn({ serving: this.#serving }, 'dropped a request: too many at once');
      return;
    }
    this.#serving += 1;
    handler(request)
      .catch((error: unknown) => this.#log?.error({ err: error }, 'request handler failed'))
      .finally(() => {
        this.#serving -= 1;
      });
  }

  #match(envelope: Envelope): void {
    const call = this.#pending.get(envelope.uid);
    if (call === undefined) {
      this.#unclaimed?.(envelope);
      return;
    }
    const self = { twinId: this.twinId, session: this.session };
    receiveAnswer(envelope, call, self, { twins: this.#twins, verifier: this.#verifier, cipher: this.#cipher }).then(
      (result) => {
        if (result !== undefined) call.settle(result);
      },
      (error: unknown) => call.settle(asRmbError(error)),
    );
  }

  #problems(): string {
    return this.#sockets.map(({ url, open, lastProblem }) => `${url} (${open ? 'open' : lastProblem})`).join(', ');
  }
}

/**
 * What is signed has the time's digits right behind the uid. After a letter
 * they have one reading; after a digit the same bytes may be a later time.
 */
export function newUid(): string {
  for (;;) {
    const uid = randomUUID();
    if (/[a-f]$/.test(uid)) return uid;
  }
}

function asRmbError(error: unknown): RmbError {
  if (error instanceof RmbError) return error;
  return new RmbError('bad-answer', (error as Error).message, { cause: error });
}

function toBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload;
}

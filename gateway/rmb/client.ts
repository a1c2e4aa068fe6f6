/** A peer: calls other twins through relays, and answers them. */
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from './answer.ts';
import { type PendingCall, receiveAnswer } from './answers.ts';
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
import { Intake, type IntakeCounts, type RequestHandler } from './intake.ts';
import type { Identity } from './keys.ts';
import { Outbox } from './outbox.ts';
import { Pings, type RelayPing } from './pings.ts';
import type { Verifier } from './platform/interface.ts';
import { platform } from './platform.ts';
import {
  type CallRequest,
  callEnvelope,
  type JsonCallRequest,
  MAX_LIFETIME_SECONDS,
  type PostedRequest,
  postedEnvelope,
  SCHEMA,
} from './requests.ts';
import { Sealer } from './sealer.ts';
import { RelaySocket, type SocketTiming } from './socket.ts';
import { createToken } from './token.ts';
import type { TwinRecord, TwinSource } from './twins.ts';
import { newUid } from './uid.ts';

export type { IncomingRequest, RequestHandler } from './intake.ts';
export type { CallRequest, JsonCallRequest, PostedRequest } from './requests.ts';
export { newUid } from './uid.ts';

/** Where the client tells what its connections do; a pino logger is one. */
export interface ClientLog {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export interface RmbClientOptions {
  /** `ws://` or `wss://` URLs of the twin's relays, at most 4. */
  readonly relays: readonly string[];
  readonly identity: Identity;
  readonly twinId: number;
  /** Absent for the twin's default connection, as nodes use. */
  readonly session?: string | undefined;
  readonly twins: TwinSource;
  readonly log?: ClientLog | undefined;
  /** Shared where several clients live in one process. */
  readonly verifier?: Verifier;
  readonly timing?: Partial<SocketTiming>;
  /** Requests at the handler at once, default 1024; above it nothing more is read from the relays. */
  readonly maxServing?: number;
  /** Bytes of their envelopes, default 64 MiB. */
  readonly maxServingBytes?: number;
}

/** What a client could not pass on, since it was made. */
export interface ClientCounts extends Readonly<IntakeCounts> {
  /** Frames that were no envelopes. */
  readonly malformed: number;
}

/** A call and what its relays made of it. */
interface Call extends PendingCall {
  readonly refusedBy: Set<RelaySocket>;
  /** Its envelope, kept while another relay may have to take it. */
  bytes: Uint8Array | undefined;
}

const ANSWER_LIFETIME_SECONDS = 300;
const LONGEST_CALL_MS = MAX_LIFETIME_SECONDS * 1000;
const MAX_PENDING_CALLS = 4096;
const MAX_SERVING = 1024;
const MAX_SERVING_BYTES = 64 * 1024 * 1024;
const ANSWER_WAIT_MS = 30_000;
/** What relays say of themselves, not of the message: others go first for a while. */
const RELAY_TROUBLE = /^(exceeded rate limits|failed to (get twin|queue)|switch error)/;

const encoder = new TextEncoder();

export class RmbClient {
  readonly twinId: number;
  readonly session: string | undefined;
  readonly #identity: Identity;
  readonly #twins: TwinSource;
  readonly #log: ClientLog | undefined;
  readonly #cipher: PayloadCipher;
  readonly #verifier: Verifier;
  readonly #ownsVerifier: boolean;
  readonly #sealer: Sealer;
  readonly #sockets: readonly RelaySocket[];
  /** Who asks listens where it asked; at its twin's other relays the answer would only be kept. */
  readonly #cameBy = new WeakMap<Envelope, RelaySocket>();
  readonly #outbox: Outbox;
  readonly #intake: Intake;
  readonly #pings: Pings;
  readonly #pending = new Map<string, Call>();
  readonly #openWaiters = new Set<() => void>();
  #unclaimed: ((answer: Envelope) => void) | undefined;
  #malformed = 0;
  #closed = false;

  constructor(options: RmbClientOptions) {
    const relays = [...new Set(options.relays)];
    if (relays.length < 1 || relays.length > 4) {
      throw new RangeError(`the number of relays should be 1 to 4, not ${relays.length}`);
    }
    this.twinId = options.twinId;
    this.session = options.session;
    this.#identity = options.identity;
    this.#twins = options.twins;
    this.#log = options.log;
    this.#cipher = new PayloadCipher(options.identity);
    this.#sealer = new Sealer({ ...options, cipher: this.#cipher });
    this.#ownsVerifier = options.verifier === undefined;
    this.#verifier = options.verifier ?? platform.newVerifier();
    this.#pings = new Pings(this);
    this.#outbox = new Outbox(() => this.#sockets);
    this.#intake = this.#newIntake(options);
    this.#sockets = relays.map((url) => this.#newSocket(url, options.timing));
  }

  /** Whether at least one relay is connected. */
  get connected(): boolean {
    return this.#sockets.some((socket) => socket.open);
  }

  /** URLs of the relays that are connected. */
  get connectedRelays(): string[] {
    return this.#sockets.filter((socket) => socket.open).map(({ url }) => url);
  }

  /** Requests at the handler. */
  get serving(): number {
    return this.#intake.serving;
  }

  get counts(): ClientCounts {
    return { ...this.#intake.counts, malformed: this.#malformed };
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
    const { signal } = request;
    if (signal?.aborted) throw new RmbError('cancelled', 'the call was cancelled', { cause: signal.reason });
    if (!(request.deadlineMs > 0 && request.deadlineMs <= LONGEST_CALL_MS)) {
      throw new RangeError(`deadlineMs is ${request.deadlineMs}, not from 1 to ${LONGEST_CALL_MS}`);
    }
    if (this.#pending.size >= MAX_PENDING_CALLS) {
      throw new RmbError('busy', `${this.#pending.size} calls wait for their answers already`);
    }
    const uid = newUid();
    const envelope = callEnvelope(uid, request, this);
    let sent = false;
    return await new Promise<Uint8Array>((resolve, reject) => {
      const settle = (result: Uint8Array | Error): void => {
        if (!this.#pending.delete(uid)) return;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        ending.abort();
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      const ending = new AbortController();
      const onAbort = (): void =>
        settle(new RmbError('cancelled', 'the call was cancelled', { cause: signal?.reason }));
      const timer = setTimeout(() => {
        const text = sent
          ? `no answer from twin ${request.twin} to ${request.command} within ${request.deadlineMs} ms`
          : `${request.command} to twin ${request.twin} could not be sent within ${request.deadlineMs} ms: ${this.#problems()}`;
        settle(new RmbError(sent ? 'timeout' : 'relay-lost', text));
      }, request.deadlineMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const { twin, session } = request;
      const call: Call = { twin, session, answersSeen: 0, settle, refusedBy: new Set(), bytes: undefined };
      this.#pending.set(uid, call);
      this.#send(envelope, request, call, ending.signal).then(
        () => {
          sent = true;
        },
        (error: unknown) => settle(error instanceof RangeError ? error : asRmbError(error)),
      );
    });
  }

  /** `call` with JSON both ways; `bad-answer` where the answer is no JSON or not what `output` wants. */
  async callJson<T = unknown>({ argument, output, ...request }: JsonCallRequest<T>): Promise<T> {
    const answer = await this.call({ ...request, payload: JSON.stringify(argument ?? null) });
    try {
      const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(answer));
      return output === undefined ? (value as T) : output.parse(value);
    } catch (error) {
      const text = `the answer of twin ${request.twin} to ${request.command} is not what was expected`;
      throw new RmbError('bad-answer', `${text}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Pings every relay by an envelope and tells how long each took, in milliseconds, or why it did not answer. */
  async ping(options: { readonly deadlineMs?: number } = {}): Promise<RelayPing[]> {
    const { deadlineMs = 5000 } = options;
    return await Promise.all(this.#sockets.map((socket) => this.#pings.ping(socket, deadlineMs)));
  }

  /**
   * From now on requests go to `handler`; a rejected handler is logged and
   * answers nothing. While as many as `maxServing` are with it, the relays are
   * not read: more requests, and answers to own calls, wait there.
   */
  serve(handler: RequestHandler): void {
    this.#intake.serve(handler);
  }

  /**
   * Hands a request to a relay, within its life time. Answers come to the
   * `onAnswer` handler. Throws `RmbError`, and `RangeError` for what no relay takes.
   */
  async post(request: PostedRequest): Promise<void> {
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    const envelope = postedEnvelope(request, this);
    const bytes = await this.#sealed(envelope, request.payload, request.twin, 'when-possible');
    await this.#outbox.send(bytes, request.lifetimeSeconds * 1000, request.signal);
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
      request.payload.case === 'cipher' || (await this.#sealer.ownKeyIsPublished().catch(() => false))
        ? 'assured'
        : 'never';
    // An empty payload makes the TypeScript client wait until the answer expires.
    await this.#sealer.seal(envelope, payload.length === 0 ? toBytes('null') : payload, twin, encrypt);
    const bytes = encodeEnvelope(envelope);
    if (bytes.length > MAX_FRAME_BYTES) {
      // A relay would end our line for it, and with it the answers to everybody else.
      const sizes = { sizeBytes: bytes.length, limitBytes: MAX_FRAME_BYTES };
      return await this.answer(request, twin, refusalAnswer(new GridError('answer_too_large', sizes)));
    }
    const cameBy = this.#cameBy.get(request);
    if (cameBy !== undefined && this.#outbox.sendBy(cameBy, bytes, ANSWER_WAIT_MS)) return;
    await this.#outbox.send(bytes, ANSWER_WAIT_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { settle } of this.#pending.values()) settle(new RmbError('closed', 'the client was closed'));
    this.#outbox.close();
    await Promise.all(this.#sockets.map((socket) => socket.close()));
    if (this.#ownsVerifier) await this.#verifier.close();
  }

  #newSocket(url: string, timing: Partial<SocketTiming> | undefined): RelaySocket {
    const socket: RelaySocket = new RelaySocket({
      url,
      token: () => createToken(this.#identity, this.twinId, this.session, nowSeconds()),
      onFrame: (bytes) => this.#receive(bytes, socket),
      onRoom: () => this.#outbox.flush(),
      onState: (state, reason) => {
        if (this.#closed) return;
        this.#log?.[state === 'open' ? 'info' : 'warn']({ relay: url, state, reason }, 'relay connection');
        if (state === 'open') for (const wake of this.#openWaiters) wake();
      },
      pingFrame: () => this.#pings.frame(),
      ...(timing === undefined ? {} : { timing }),
    });
    return socket;
  }

  #newIntake({ relays, maxServing, maxServingBytes }: RmbClientOptions): Intake {
    return new Intake({
      limit: maxServing ?? MAX_SERVING,
      limitBytes: maxServingBytes ?? MAX_SERVING_BYTES,
      severalRelays: relays.length > 1,
      pause: () => {
        this.#log?.warn({ serving: this.#intake.serving }, 'relays are not read: too many requests at once');
        for (const socket of this.#sockets) socket.pause();
      },
      resume: () => {
        this.#log?.info({ serving: this.#intake.serving }, 'relays are read again');
        for (const socket of this.#sockets) socket.resume();
      },
      onError: (error) => this.#log?.error({ err: error }, 'request handler failed'),
      onDropped: () => this.#log?.warn({ serving: this.#intake.serving }, 'dropped a request: too many at once'),
    });
  }

  async #send(envelope: Envelope, request: CallRequest, call: Call, signal: AbortSignal): Promise<void> {
    const payload = toBytes(request.payload);
    const bytes = await this.#sealed(envelope, payload, request.twin, request.encrypt ?? 'when-possible');
    if (!this.#pending.has(envelope.uid)) return;
    if (this.#sockets.length > 1) call.bytes = bytes;
    await this.#outbox.send(bytes, request.deadlineMs, signal);
  }

  /** The bytes of a request to `to`, ready to go. */
  async #sealed(
    envelope: Envelope,
    payload: Uint8Array,
    to: number,
    encrypt: 'when-possible' | 'never' | 'always',
  ): Promise<Uint8Array> {
    const twin = await this.#sealer.lookUp(to);
    if (twin === undefined) throw new RmbError('unknown-twin', `unknown twin id '${to}'`);
    await this.#sealer.seal(envelope, payload, twin, encrypt);
    const bytes = encodeEnvelope(envelope);
    if (bytes.length > MAX_FRAME_BYTES) {
      throw new RangeError(`the message has ${bytes.length} bytes, relays take ${MAX_FRAME_BYTES}`);
    }
    return bytes;
  }

  #receive(bytes: Uint8Array, from: RelaySocket): void {
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      this.#malformed += 1;
      this.#log?.warn({ sizeBytes: bytes.length, reason: (error as Error).message }, 'dropped a frame');
      return;
    }
    const kind = envelope.message.case;
    if (kind === 'request') {
      if (this.#sockets.length > 1) this.#cameBy.set(envelope, from);
      this.#intake.take({ bytes, envelope, relay: from.url });
    } else if (kind === 'response' || kind === 'error') this.#match(envelope, from);
    else if (kind === 'pong') this.#pings.receive(envelope);
  }

  #match(envelope: Envelope, from: RelaySocket): void {
    const call = this.#pending.get(envelope.uid);
    if (call === undefined) {
      this.#unclaimed?.(envelope);
      return;
    }
    receiveAnswer(envelope, call, this, { twins: this.#twins, verifier: this.#verifier, cipher: this.#cipher }).then(
      (result) => {
        if (result instanceof RmbError && result.kind === 'relay-refused') this.#refusedByRelay(call, result, from);
        else if (result !== undefined) call.settle(result);
      },
      (error: unknown) => call.settle(asRmbError(error)),
    );
  }

  /** One relay's refusal is no verdict: the destination may be with another. The last one's word ends the call. */
  #refusedByRelay(call: Call, { message, code }: RmbError, from: RelaySocket): void {
    if (RELAY_TROUBLE.test(message)) from.cool();
    call.refusedBy.add(from);
    const next = call.bytes === undefined ? undefined : this.#outbox.sendElsewhere(call.bytes, call.refusedBy);
    if (next !== undefined) return;
    call.settle(new RmbError('relay-refused', message, { relay: from.url, ...(code === undefined ? {} : { code }) }));
  }

  #problems(): string {
    return this.#sockets.map(({ url, open, lastProblem }) => `${url} (${open ? 'open' : lastProblem})`).join(', ');
  }
}

function asRmbError(error: unknown): RmbError {
  if (error instanceof RmbError) return error;
  return new RmbError('bad-answer', (error as Error).message, { cause: error });
}

function toBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? encoder.encode(payload) : payload;
}

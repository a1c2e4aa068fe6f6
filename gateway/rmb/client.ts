/** A peer: calls other twins through relays, and answers them. */
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from './answer.ts';
import { Calls } from './calls.ts';
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
import { type CallRequest, type JsonCallRequest, type PostedRequest, postedEnvelope, SCHEMA } from './requests.ts';
import { Sealer } from './sealer.ts';
import { RelaySocket, type SocketTiming } from './socket.ts';
import { createToken } from './token.ts';
import type { TwinRecord, TwinSource } from './twins.ts';

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

const ANSWER_LIFETIME_SECONDS = 300;
const MAX_SERVING = 1024;
const MAX_SERVING_BYTES = 64 * 1024 * 1024;
const ANSWER_WAIT_MS = 30_000;

export class RmbClient {
  readonly twinId: number;
  readonly session: string | undefined;
  readonly #identity: Identity;
  readonly #log: ClientLog | undefined;
  readonly #verifier: Verifier;
  readonly #ownsVerifier: boolean;
  readonly #sealer: Sealer;
  readonly #sockets: readonly RelaySocket[];
  /** Who asks listens where it asked; at its twin's other relays the answer would only be kept. */
  readonly #cameBy = new WeakMap<Envelope, RelaySocket>();
  readonly #outbox: Outbox;
  readonly #intake: Intake;
  readonly #pings: Pings;
  readonly #calls: Calls;
  readonly #connecting = new Set<(error?: RmbError) => void>();
  #unclaimed: ((answer: Envelope) => void) | undefined;
  #malformed = 0;
  #closed = false;

  constructor(options: RmbClientOptions) {
    const relays = [...new Set(options.relays)];
    if (relays.length < 1 || relays.length > 4) {
      throw new RangeError(`the number of relays should be 1 to 4, not ${relays.length}`);
    }
    for (const url of relays) checkRelayUrl(url);
    this.twinId = options.twinId;
    this.session = options.session;
    this.#identity = options.identity;
    this.#log = options.log;
    const cipher = new PayloadCipher(options.identity);
    this.#sealer = new Sealer({ ...options, cipher });
    this.#ownsVerifier = options.verifier === undefined;
    this.#verifier = options.verifier ?? platform.newVerifier();
    this.#pings = new Pings(this);
    const sockets = (): readonly RelaySocket[] => this.#sockets;
    this.#outbox = new Outbox(sockets);
    const { twins } = options;
    this.#calls = new Calls({
      self: this,
      ...{ twins, cipher, sockets },
      verifier: this.#verifier,
      sealer: this.#sealer,
      outbox: this.#outbox,
    });
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
    const { deadlineMs = 15_000, signal } = options;
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    if (signal?.aborted) throw new RmbError('cancelled', 'connecting was cancelled');
    for (const socket of this.#sockets) socket.start();
    if (this.connected) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: RmbError): void => {
        clearTimeout(timer);
        this.#connecting.delete(finish);
        signal?.removeEventListener('abort', aborted);
        if (error === undefined) resolve();
        else reject(error);
      };
      const aborted = (): void => finish(new RmbError('cancelled', 'connecting was cancelled'));
      const timer = setTimeout(() => {
        const problems = this.#sockets.map(({ url, lastProblem }) => `${url}: ${lastProblem}`).join(', ');
        finish(new RmbError('relay-lost', `no relay connected within ${deadlineMs} ms (${problems})`));
      }, deadlineMs);
      this.#connecting.add(finish);
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Sends a request and resolves with the answer's payload, verified and decrypted. Throws `RmbError`. */
  async call(request: CallRequest): Promise<Uint8Array> {
    if (this.#closed) throw new RmbError('closed', 'the client was closed');
    return await this.#calls.call(request);
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
    const bytes = await this.#sealer.sealRequest(envelope, request.payload, request.twin);
    await this.#outbox.send(bytes, request.lifetimeSeconds * 1000, request.signal);
  }

  /** From now on answers to none of this client's own calls go to `handler`; nothing about them is verified. */
  onAnswer(handler: (answer: Envelope) => void): void {
    this.#unclaimed = handler;
  }

  /** Sends the answer to a verified request: signed, and encrypted when both twins have a key. */
  async answer(request: Envelope, twin: TwinRecord, answer: Answer): Promise<void> {
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
    await this.#sealer.seal(envelope, answer.payload?.length ? answer.payload : 'null', twin, encrypt);
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
    this.#calls.close();
    for (const finish of this.#connecting) finish(new RmbError('closed', 'the client was closed'));
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
        if (state === 'open') for (const finish of this.#connecting) finish();
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
    } else if (kind === 'response' || kind === 'error') {
      if (!this.#calls.take(envelope, from)) this.#unclaimed?.(envelope);
    } else if (kind === 'pong') this.#pings.receive(envelope);
  }
}

function checkRelayUrl(url: string): void {
  // A query would stand where the token does.
  if (/^wss?:\/\/[^/?#]+[^?#]*$/.test(url) && URL.canParse(url)) return;
  throw new RangeError(`'${url}' is no address of a relay: write ws://HOST:PORT or wss://HOST`);
}

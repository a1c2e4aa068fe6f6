/** Calls from their request to their answer, whichever relays take and refuse it. */
import { type PendingCall, receiveAnswer } from './answers.ts';
import type { PayloadCipher } from './cipher.ts';
import type { Envelope } from './envelope.ts';
import { RmbError } from './errors.ts';
import type { Outbox } from './outbox.ts';
import type { Verifier } from './platform/interface.ts';
import { type CallRequest, callEnvelope, MAX_LIFETIME_SECONDS } from './requests.ts';
import type { Sealer } from './sealer.ts';
import type { RelaySocket } from './socket.ts';
import type { TwinSource } from './twins.ts';
import { newUid } from './uid.ts';

export interface CallTools {
  readonly self: { readonly twinId: number; readonly session: string | undefined };
  readonly twins: TwinSource;
  readonly verifier: Verifier;
  readonly cipher: PayloadCipher;
  readonly sealer: Sealer;
  readonly outbox: Outbox;
  readonly sockets: () => readonly RelaySocket[];
}

/** A call and what its relays made of it. */
interface Call extends PendingCall {
  readonly refusedBy: Set<RelaySocket>;
  /** Its envelope, kept while another relay may have to take it. */
  bytes: Uint8Array | undefined;
}

const LONGEST_CALL_MS = MAX_LIFETIME_SECONDS * 1000;
const MAX_PENDING = 4096;
/** What relays say of themselves, not of the message: others go first for a while. */
const RELAY_TROUBLE = /^(exceeded rate limits|failed to (get twin|queue)|switch error)/;

export class Calls {
  readonly #tools: CallTools;
  readonly #pending = new Map<string, Call>();

  constructor(tools: CallTools) {
    this.#tools = tools;
  }

  /** Sends a request and resolves with the answer's payload. Throws `RmbError`, and `RangeError` for what no relay takes. */
  async call(request: CallRequest): Promise<Uint8Array> {
    const { signal } = request;
    if (signal?.aborted) throw cancelled(signal);
    if (!(request.deadlineMs > 0 && request.deadlineMs <= LONGEST_CALL_MS)) {
      throw new RangeError(`deadlineMs is ${request.deadlineMs}, not from 1 to ${LONGEST_CALL_MS}`);
    }
    if (this.#pending.size >= MAX_PENDING) {
      throw new RmbError('busy', `${this.#pending.size} calls wait for their answers already`);
    }
    const uid = newUid();
    const envelope = callEnvelope(uid, request, this.#tools.self);
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
      const onAbort = (): void => settle(cancelled(signal));
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

  /** Takes a response or an error; whether a call waits for one of that name. */
  take(envelope: Envelope, from: RelaySocket): boolean {
    const call = this.#pending.get(envelope.uid);
    if (call === undefined) return false;
    receiveAnswer(envelope, call, this.#tools.self, this.#tools).then(
      (result) => {
        if (result instanceof RmbError && result.kind === 'relay-refused') this.#refusedByRelay(call, result, from);
        else if (result !== undefined) call.settle(result);
      },
      (error: unknown) => call.settle(asRmbError(error)),
    );
    return true;
  }

  close(): void {
    for (const { settle } of this.#pending.values()) settle(new RmbError('closed', 'the client was closed'));
  }

  async #send(envelope: Envelope, request: CallRequest, call: Call, signal: AbortSignal): Promise<void> {
    const { sealer, outbox, sockets } = this.#tools;
    const bytes = await sealer.sealRequest(envelope, request.payload, request.twin, request.encrypt);
    if (sockets().length > 1) call.bytes = bytes;
    await outbox.send(bytes, request.deadlineMs, signal);
  }

  /** One relay's refusal is no verdict: the destination may be with another. The last one's word ends the call. */
  #refusedByRelay(call: Call, { message, code }: RmbError, from: RelaySocket): void {
    // It cannot be of anything new, and must not make the others carry the request again.
    if (call.refusedBy.has(from)) return;
    if (RELAY_TROUBLE.test(message)) from.cool();
    call.refusedBy.add(from);
    const { outbox } = this.#tools;
    const next = call.bytes === undefined ? undefined : outbox.sendElsewhere(call.bytes, call.refusedBy);
    if (next !== undefined) return;
    call.settle(new RmbError('relay-refused', message, { relay: from.url, ...(code === undefined ? {} : { code }) }));
  }

  #problems(): string {
    const relays = this.#tools.sockets();
    return relays.map(({ url, open, lastProblem }) => `${url} (${open ? 'open' : lastProblem})`).join(', ');
  }
}

function cancelled(signal: AbortSignal | undefined): RmbError {
  return new RmbError('cancelled', 'the call was cancelled', { cause: signal?.reason });
}

function asRmbError(error: unknown): RmbError {
  if (error instanceof RmbError) return error;
  return new RmbError('bad-answer', (error as Error).message, { cause: error });
}

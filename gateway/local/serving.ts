/** Requests of other twins for local services, and the services' answers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { AdmittedRequest, Door } from '../door/door.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import type { IncomingRequest, RmbClient } from '../rmb/client.ts';
import { address, createEnvelope, type Envelope, formatAddress, nowSeconds, parseAddress } from '../rmb/envelope.ts';
import { RmbError } from '../rmb/errors.ts';
import type { TwinSource } from '../rmb/twins.ts';
import type { LocalLimits } from './limits.ts';
import {
  decodeBase64,
  formatServiceRequest,
  MAX_MESSAGE_BYTES,
  readServiceReply,
  type ServiceReply,
  type Unreadable,
  unreadable,
} from './messages.ts';
import type { LocalMetrics } from './metrics.ts';
import type { LocalStore, Served, Taken } from './store.ts';
import { version } from './version.ts';

export interface ServingOptions {
  readonly store: LocalStore;
  readonly door: Door;
  readonly peer: RmbClient;
  readonly twins: TwinSource;
  readonly limits: LocalLimits;
  readonly metrics: LocalMetrics;
  readonly log: Logger;
  /** Commands that have a service. */
  readonly commands: ReadonlySet<string>;
  /** Whether the services' queues are this peer's to use. */
  readonly ready: () => boolean;
}

const VERSION_COMMAND = 'rmb.version';
const SCHEMA = 'application/json';
const RETRY_MS = 1000;

export class Serving {
  readonly #options: ServingOptions;

  constructor(options: ServingOptions) {
    this.#options = options;
  }

  /** Whether requests with this command are for here. */
  claims(command: string): boolean {
    return command === VERSION_COMMAND || this.#options.commands.has(command);
  }

  /** Puts a request through the door and before its service, whose answer comes when it comes. */
  async serve({ bytes, envelope }: IncomingRequest): Promise<void> {
    const verdict = await this.#options.door.admit(bytes, envelope);
    if (verdict.outcome !== 'admitted') return;
    const { request } = verdict;
    const refusal = await this.#pass(request, envelope).catch((error: unknown) => this.#failed(request, error));
    if (refusal === undefined) {
      // Its place at the door is free: what waits for services has bounds of its own.
      request.leave();
      return;
    }
    await request.reply(refusal).catch((error: Error) => {
      this.#options.log.warn({ twin: request.twin.id, uid: request.uid, reason: error.message }, 'answer not sent');
    });
  }

  async #pass(request: AdmittedRequest, envelope: Envelope): Promise<Answer | undefined> {
    const { store, limits, metrics, commands } = this.#options;
    const { command, uid, twin, session } = request;
    if (command === VERSION_COMMAND) return { kind: 'response', payload: JSON.stringify(version) };
    if (!commands.has(command)) throw new GridError('command_unknown', { command });
    if (!this.#options.ready()) throw new GridError('local_service_away', { command });
    const source = formatAddress({ twin: twin.id, connection: session } as Parameters<typeof formatAddress>[0]);
    const message = formatServiceRequest({
      uid,
      source,
      command,
      lifetimeSeconds: Number(envelope.expiration),
      payload: request.payload,
      tags: envelope.tags,
      schema: envelope.schema,
      timestamp: Number(envelope.timestamp),
    });
    const { expiresAtSeconds, encrypted } = request;
    const served: Served = {
      uid,
      twin: twin.id,
      ...(session === undefined ? {} : { session }),
      command,
      encrypted,
      expiresAtSeconds,
    };
    const outcome = await store.enqueue(served, source, message);
    if (outcome === 'ok') {
      metrics.served.inc({ outcome: 'queued' });
      return undefined;
    }
    const limit = {
      requests: limits.servedRequests,
      twin: limits.servedRequestsPerTwin,
      messages: limits.listMessages,
      bytes: limits.listBytes,
    }[outcome];
    throw new GridError('local_service_full', { command, bound: outcome, limit });
  }

  #failed(request: AdmittedRequest, error: unknown): Answer {
    const { metrics, log } = this.#options;
    const { command } = request;
    const refusal = isGridError(error) ? error : new GridError('local_service_away', { command }, { cause: error });
    metrics.served.inc({ outcome: refusal.code });
    log.info({ command, twin: request.twin.id, code: refusal.code, err: refusal.cause }, refusal.message);
    return refusalAnswer(refusal);
  }

  /** Sends one answer of a service to who asked. */
  async work(message: Taken): Promise<void> {
    const { store, metrics, log } = this.#options;
    const reading =
      message.sizeBytes > MAX_MESSAGE_BYTES ? { unreadable: tooLong(message) } : readServiceReply(message.text);
    const about = 'unreadable' in reading ? reading.unreadable : reading.message;
    const found = await this.#find(about.dst, about.ref);
    if (found === undefined) {
      metrics.replies.inc({ outcome: 'unreadable' in reading ? 'malformed' : 'not_waited_for' });
      log.warn(
        { ref: about.ref?.slice(0, 128), dst: about.dst, problem: 'unreadable' in reading ? about : undefined },
        'an answer of a local service belongs to no request: answered before, too late, or not to who asked',
      );
      return;
    }
    const { served, source } = found;
    const answer =
      'unreadable' in reading ? unfit(served, reading.unreadable.problem) : answerOf(reading.message, served);
    await this.#send(served, answer);
    metrics.replies.inc({ outcome: answer.kind });
    await store
      .insist(() => store.answered(served, source), served.expiresAtSeconds * 1000)
      .catch((error: Error) =>
        // It expires by itself; a second answer to it would be ignored by who asked.
        log.debug({ reason: error.message }, 'an answered request stays remembered'),
      );
  }

  async #find(
    dst: string | undefined,
    ref: string | undefined,
  ): Promise<{ readonly served: Served; readonly source: string } | undefined> {
    if (dst === undefined || ref === undefined) return undefined;
    let source: string;
    try {
      source = formatAddress(parseAddress(dst));
    } catch {
      return undefined;
    }
    const { store } = this.#options;
    const untilMs = Date.now() + 60_000;
    const served = await store.insist(() => store.served(source, ref), untilMs);
    return served === undefined ? undefined : { served, source };
  }

  /** Tries until the request's time is over: nobody waits longer. */
  async #send(served: Served, answer: Answer): Promise<void> {
    const { peer, twins, store, log, metrics } = this.#options;
    const request = createEnvelope({
      uid: served.uid,
      source: address(served.twin, served.session),
      ...(served.encrypted ? { payload: { case: 'cipher', value: new Uint8Array(0) } as const } : {}),
    });
    for (;;) {
      try {
        const twin = await twins.twin(served.twin);
        if (twin === undefined) throw new RmbError('unknown-twin', `unknown twin id '${served.twin}'`);
        await peer.answer(request, twin, answer);
        return;
      } catch (error) {
        if (store.stopping.aborted) throw error;
        if (nowSeconds() >= served.expiresAtSeconds || (error as RmbError).kind === 'unknown-twin') {
          metrics.replies.inc({ outcome: 'not_sent' });
          log.warn(
            { twin: served.twin, reason: (error as Error).message },
            'the answer of a local service was not sent',
          );
          return;
        }
        await sleep(RETRY_MS, undefined, { signal: store.stopping }).catch(() => undefined);
      }
    }
  }
}

function answerOf(reply: ServiceReply, served: Served): Answer {
  if (reply.err != null) return { kind: 'error', code: reply.err.code, message: reply.err.message };
  if (reply.shm && reply.shm !== SCHEMA) {
    return unfit(served, `its schema is ${JSON.stringify(reply.shm.slice(0, 128))}, peers take ${SCHEMA}`);
  }
  const payload = decodeBase64(reply.dat);
  return payload === undefined ? unfit(served, 'dat is not standard base64') : { kind: 'response', payload };
}

function unfit({ command }: Served, problem: string): Answer {
  return refusalAnswer(new GridError('local_service_answer', { command, problem }));
}

function tooLong({ text, sizeBytes }: Taken): Unreadable {
  return unreadable(text, undefined, `it has ${sizeBytes} bytes, at most ${MAX_MESSAGE_BYTES} are taken`);
}

/** Where one message of a session goes. */
import type { Logger } from 'pino';
import { type Envelope, formatAddress, nowSeconds, remainingSeconds, sameAddress } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import type { RelayMetrics } from './metrics.ts';
import type { OfflineQueue, QueueResult } from './queue.ts';
import { errorReply, hasFailFast, pongReply, relayTexts } from './replies.ts';
import type { Session } from './session.ts';

export interface RouterOptions {
  /** Own names, as twins carry them on the chain. */
  readonly domains: readonly string[];
  readonly twins: TwinSource;
  readonly queue: OfflineQueue;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
  /** The connected session of exactly this address. */
  readonly session: (address: Address) => Session | undefined;
}

export class Router {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** Routes one parsed message. `bytes` go on unchanged. Only a request's sender hears of a failure. */
  async route(from: Session, envelope: Envelope, bytes: Uint8Array): Promise<void> {
    const failure = await this.#deliver(from, envelope, bytes);
    if (failure === undefined) return;
    this.#options.metrics.refused.inc({ reason: failure });
    if (envelope.message.case === 'request') from.reply(errorReply(envelope.uid, from.address, failure));
  }

  async #deliver(from: Session, envelope: Envelope, bytes: Uint8Array): Promise<string | undefined> {
    const { destination } = envelope;
    if (!sameAddress(envelope.source, from.address)) return relayTexts.wrongSource;
    if (envelope.message.case === 'ping') {
      from.reply(pongReply(envelope));
      return undefined;
    }
    if (destination === undefined || destination.twin === 0) return relayTexts.missingDestination;
    const here = this.#options.session(destination);
    if (here !== undefined) return resultText(await here.deliver(bytes));
    return await this.#deliverAway(envelope, destination, bytes);
  }

  async #deliverAway(envelope: Envelope, destination: Address, bytes: Uint8Array): Promise<string | undefined> {
    const { queue, metrics, domains, log, twins } = this.#options;
    let twin: TwinRecord | undefined;
    try {
      twin = await twins.twin(destination.twin);
    } catch (error) {
      log.error({ twin: destination.twin, reason: (error as Error).message }, 'twin lookup failed');
      return relayTexts.lookupFailed;
    }
    if (twin === undefined) return relayTexts.unknownTwin;
    if (twin.relay.length === 0) return relayTexts.noRelay;
    if (!twin.relay.some((domain) => domains.includes(domain))) return relayTexts.elsewhere;
    if (hasFailFast(envelope.tags)) return relayTexts.offline;
    if (remainingSeconds(envelope, nowSeconds()) <= 0) return relayTexts.expired;
    // It may have connected while the twin was looked up.
    const here = this.#options.session(destination);
    if (here !== undefined) return resultText(await here.deliver(bytes));
    const result = await queue.add(destination, bytes);
    if (result === 'queued') {
      metrics.queued.inc();
      // Or while the message was written: then the session may have read its queue already.
      this.#options.session(destination)?.start();
    }
    log.debug({ to: formatAddress(destination), uid: envelope.uid, result }, 'queued for an absent session');
    return resultText(result);
  }
}

function resultText(result: QueueResult): string | undefined {
  if (result === 'queued') return undefined;
  return result === 'full' ? relayTexts.queueFull : relayTexts.queueFailed;
}

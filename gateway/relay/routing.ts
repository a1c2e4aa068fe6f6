/** Where one message of a session goes. */
import type { Logger } from 'pino';
import { type Envelope, nowSeconds, remainingSeconds, sameAddress } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import type { Outgoing } from './federation/outgoing.ts';
import type { Mail } from './mail.ts';
import type { RelayMetrics } from './metrics.ts';
import type { QueueResult } from './queue.ts';
import type { WindowedLimit } from './rate.ts';
import { errorReply, hasFailFast, pongReply, relayTexts } from './replies.ts';
import type { Session } from './session.ts';

/** Characters of a session's name in a token. */
const MAX_SESSION_NAME = 256;

export interface RouterOptions {
  /** Own names, as twins carry them on the chain. */
  readonly domains: readonly string[];
  readonly twins: TwinSource;
  readonly mail: Mail;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
  /** Messages of a twin, by its id. */
  readonly limit: WindowedLimit<number> | undefined;
  /** The way to other relays; without it their twins are out of reach. */
  readonly outgoing: Outgoing | undefined;
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
    const { limit, mail } = this.#options;
    const { destination } = envelope;
    if (limit?.take(from.address.twin, bytes.length) === false) return relayTexts.rateLimited;
    if (!sameAddress(envelope.source, from.address)) return relayTexts.wrongSource;
    if (envelope.message.case === 'ping') {
      from.reply(pongReply(envelope));
      return undefined;
    }
    if (destination === undefined || destination.twin === 0) return relayTexts.missingDestination;
    // A token has no longer one, so nobody could ever fetch it.
    if ((destination.connection?.length ?? 0) > MAX_SESSION_NAME) return relayTexts.longSession;
    if (mail.isConnected(destination)) return resultText(await mail.deliver(destination, bytes));
    return await this.#deliverAway(envelope, destination, bytes);
  }

  async #deliverAway(envelope: Envelope, destination: Address, bytes: Uint8Array): Promise<string | undefined> {
    const { domains, log, mail, twins, outgoing } = this.#options;
    let twin: TwinRecord | undefined;
    try {
      twin = await twins.twin(destination.twin);
    } catch (error) {
      log.error({ twin: destination.twin, reason: (error as Error).message }, 'twin lookup failed');
      return relayTexts.lookupFailed;
    }
    if (twin === undefined) return relayTexts.unknownTwin;
    if (twin.relay.length === 0) return relayTexts.noRelay;
    if (!sharesDomain(twin.relay, domains)) {
      return outgoing === undefined ? relayTexts.elsewhere : await outgoing.add(envelope, bytes);
    }
    // It may have connected while the twin was looked up.
    if (!mail.isConnected(destination)) {
      if (hasFailFast(envelope.tags)) return relayTexts.offline;
      if (remainingSeconds(envelope, nowSeconds()) <= 0) return relayTexts.expired;
    }
    return resultText(await mail.deliver(destination, bytes));
  }
}

/** Whether two sets of host names have one in common; case makes no difference in names. */
export function sharesDomain(some: readonly string[], others: readonly string[]): boolean {
  return some.some((one) => others.some((other) => one.toLowerCase() === other.toLowerCase()));
}

function resultText(result: QueueResult): string | undefined {
  if (result === 'queued') return undefined;
  return result === 'full' ? relayTexts.queueFull : relayTexts.queueFailed;
}

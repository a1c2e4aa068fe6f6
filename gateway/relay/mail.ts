/** How a message gets to a session: on its line, or into its queue. */
import type { Address } from '../rmb/envelope_pb.ts';
import type { RelayMetrics } from './metrics.ts';
import type { OfflineQueue, QueueResult } from './queue.ts';
import type { Session } from './session.ts';

export interface MailOptions {
  readonly queue: OfflineQueue;
  readonly metrics: RelayMetrics;
  /** The connected session of exactly this address. */
  readonly session: (address: Address) => Session | undefined;
  /** Told of each message that went into a queue. */
  readonly onQueued?: (to: Address) => void;
}

export class Mail {
  readonly #options: MailOptions;

  constructor(options: MailOptions) {
    this.#options = options;
  }

  isConnected(to: Address): boolean {
    return this.#options.session(to) !== undefined;
  }

  /** Delivers or queues; `queued` says that the message is safe either way. */
  async deliver(to: Address, bytes: Uint8Array): Promise<QueueResult> {
    const { queue, metrics, session, onQueued } = this.#options;
    const before = session(to);
    if (before?.trySend(bytes) === true) return 'queued';
    before?.expectMail();
    const { result } = await queue.add(to, bytes);
    if (result === 'queued') metrics.queued.inc();
    // It may have connected, and read its queue, while the message was written.
    const here = session(to);
    if (here !== undefined) here.start();
    else if (result === 'queued') onQueued?.(to);
    return result;
  }
}

/**
 * Relay processes that share one Redis tell each other what concerns a session
 * of another: that mail was queued for it, and that it connected elsewhere. Who
 * misses a word loses nothing: the queue is read at the next connection.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { formatAddress, parseAddress } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { openStore } from './queue.ts';

const MAIL = 'relay.mail';
const CONNECTED = 'relay.connected';

export interface SisterEvents {
  readonly onMail: (to: Address) => void;
  /** `at`: Unix milliseconds. */
  readonly onConnected: (address: Address, at: number) => void;
}

export class Sisters {
  readonly #self = randomUUID();
  readonly #talk: ReturnType<typeof openStore>;
  readonly #listen: ReturnType<typeof openStore>;

  constructor(broker: string, log: Logger, events: SisterEvents) {
    this.#talk = openStore(broker, log, 'words to sisters');
    this.#listen = openStore(broker, log, 'words of sisters');
    this.#listen.on('ready', () => {
      this.#listen.subscribe(MAIL, CONNECTED).catch((error: unknown) => {
        log.warn({ reason: (error as Error).message }, 'sisters are not heard');
      });
    });
    this.#listen.on('message', (channel: string, text: string) => {
      const [from, at, ...rest] = text.split(' ');
      if (from === this.#self) return;
      try {
        const address = parseAddress(rest.join(' '));
        if (channel === MAIL) events.onMail(address);
        else events.onConnected(address, Number(at));
      } catch (error) {
        log.debug({ reason: (error as Error).message }, 'a word that is none');
      }
    });
  }

  mail(to: Address): void {
    this.#say(MAIL, to, 0);
  }

  connected(address: Address, at: number): void {
    this.#say(CONNECTED, address, at);
  }

  close(): void {
    this.#talk.disconnect();
    this.#listen.disconnect();
  }

  #say(channel: string, address: Address, at: number): void {
    // Nobody has to hear it.
    this.#talk.publish(channel, `${this.#self} ${at} ${formatAddress(address)}`).catch(() => undefined);
  }
}

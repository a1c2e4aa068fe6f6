/**
 * Relay processes that share one Redis tell each other what concerns a session
 * of another: that mail was queued for it, and that it connected elsewhere.
 * Where words may have been missed, every session looks into its queue.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { whenReady } from '../../modules/zbus/broker.ts';
import { formatAddress, parseAddress } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { openStore, READY_MS } from './queue.ts';

const MAIL = 'relay.mail';
const CONNECTED = 'relay.connected';
const LOOK = 'relay.look';

export interface SisterEvents {
  readonly onMail: (to: Address) => void;
  /** `at`: Unix milliseconds. */
  readonly onConnected: (address: Address, at: number) => void;
  /** Words may have been missed. */
  readonly onMissed: () => void;
}

export class Sisters {
  readonly #self = randomUUID();
  readonly #talk: ReturnType<typeof openStore>;
  readonly #listen: ReturnType<typeof openStore>;
  readonly #heard = Promise.withResolvers<void>();
  /** A word could not be said: sisters have to look for themselves. */
  #unsaid = false;

  constructor(broker: string, log: Logger, events: SisterEvents) {
    this.#talk = openStore(broker, log, 'words to sisters');
    this.#listen = openStore(broker, log, 'words of sisters');
    this.#listen.on('ready', () => {
      this.#listen.subscribe(MAIL, CONNECTED, LOOK).then(
        () => {
          this.#heard.resolve();
          events.onMissed();
        },
        (error: unknown) => log.warn({ reason: (error as Error).message }, 'sisters are not heard'),
      );
    });
    this.#talk.on('ready', () => {
      if (this.#unsaid) this.#publish(LOOK, this.#self);
    });
    this.#listen.on('message', (channel: string, text: string) => {
      const [from, at, ...rest] = text.split(' ');
      if (from === this.#self) return;
      if (channel === LOOK) {
        events.onMissed();
        return;
      }
      try {
        const address = parseAddress(rest.join(' '));
        if (channel === MAIL) events.onMail(address);
        else events.onConnected(address, Number(at));
      } catch (error) {
        log.debug({ reason: (error as Error).message }, 'a word that is none');
      }
    });
  }

  /** Waits until both ways are open, but not for ever. */
  async ready(): Promise<void> {
    const heard = Promise.race([this.#heard.promise, new Promise((resolve) => setTimeout(resolve, READY_MS).unref())]);
    await Promise.all([heard, whenReady(this.#talk, READY_MS).catch(() => undefined)]);
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
    this.#publish(channel, `${this.#self} ${at} ${formatAddress(address)}`);
  }

  #publish(channel: string, text: string): void {
    this.#talk.publish(channel, text).then(
      () => {
        if (channel === LOOK) this.#unsaid = false;
      },
      () => {
        this.#unsaid = true;
      },
    );
  }
}

/** Subscriptions of the library, which keep their names while they move from one endpoint to the next. */
import { type Notice, RpcFailure } from './line.ts';

interface Wish {
  readonly type: string;
  readonly method: string;
  readonly params: unknown[];
  readonly callback: (error: Error | null, value: unknown) => void;
}

interface Subscription extends Wish {
  /** The endpoint's id, undefined until it told. */
  remote: string | undefined;
}

type Send = (method: string, params: unknown[]) => Promise<unknown>;

/** Values that came before the id of their subscription was known. */
const EARLY_LIMIT = 256;

export class Subscriptions {
  readonly #known = new Map<string, Subscription>();
  #early: Notice[] = [];
  #last = 0;

  /**
   * Opens one; its id stays the same at every endpoint. One that the endpoint cannot be asked for any more
   * is asked for at the next: the library gives up for ever when it hears of a failure here.
   */
  async open(wish: Wish, send: Send): Promise<string> {
    this.#last += 1;
    const id = String(this.#last);
    const subscription = { ...wish, remote: undefined };
    if (isTransaction(wish)) {
      const remote = String(await send(wish.method, wish.params));
      this.#known.set(id, { ...wish, remote });
      // After the answer: the library must know the id first.
      setImmediate(() => this.#tellEarly(remote));
      return id;
    }
    this.#known.set(id, subscription);
    await this.#ask(id, subscription, send).catch((error: unknown) => {
      if (!(error instanceof RpcFailure)) return;
      this.#known.delete(id);
      throw error;
    });
    return id;
  }

  async #ask(id: string, subscription: Subscription, send: Send): Promise<void> {
    const remote = String(await send(subscription.method, subscription.params));
    if (this.#known.get(id) !== subscription) return;
    subscription.remote = remote;
    setImmediate(() => this.#tellEarly(remote));
  }

  /** The endpoint's id of one that nobody wants any more. */
  close(id: string): string | undefined {
    const remote = this.#known.get(id)?.remote;
    this.#known.delete(id);
    return remote;
  }

  /** Whether somebody waits for what becomes of a transaction, which only its endpoint tells. */
  get hasTransactions(): boolean {
    return [...this.#known.values()].some(isTransaction);
  }

  hear(notice: Notice): void {
    const found = this.#of(notice.subscription);
    // One that has just become known: what came before is told first.
    const isBehind = this.#early.some(({ subscription }) => subscription === notice.subscription);
    if (found !== undefined && !isBehind) {
      found.callback(notice.error ?? null, notice.result);
      return;
    }
    // Of those that nobody wants any more some come, too; they may not take the place of new ones for ever.
    if (this.#early.length >= EARLY_LIMIT) this.#early.shift();
    this.#early.push(notice);
  }

  /** The endpoint went, and its ids with it. */
  lost(): void {
    this.#early = [];
    for (const [id, subscription] of this.#known) {
      subscription.remote = undefined;
      if (isTransaction(subscription)) this.#known.delete(id);
    }
  }

  /** Asks another endpoint for all of them. Throws when it refuses one. */
  async renew(send: Send): Promise<void> {
    await Promise.all([...this.#known].map(([id, subscription]) => this.#ask(id, subscription, send)));
  }

  #of(remote: string): Subscription | undefined {
    for (const subscription of this.#known.values()) if (subscription.remote === remote) return subscription;
    return undefined;
  }

  #tellEarly(remote: string): void {
    const early = this.#early.filter(({ subscription }) => subscription === remote);
    if (early.length === 0) return;
    this.#early = this.#early.filter(({ subscription }) => subscription !== remote);
    for (const notice of early) this.hear(notice);
  }
}

/** A transaction is not sent again by itself. */
const isTransaction = ({ type }: Wish): boolean => type.startsWith('author_');

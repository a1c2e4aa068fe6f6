/** What came while the last of a session's queue was read, to be sent behind it. */
import type { WindowBudget } from './window.ts';

const LIMIT_BYTES = 1024 * 1024;

export class HeldMail {
  readonly #twin: number;
  readonly #budget: WindowBudget;
  #messages: Uint8Array[] | undefined;
  #bytes = 0;

  constructor(twin: number, budget: WindowBudget) {
    this.#twin = twin;
    this.#budget = budget;
  }

  /** Begins to hold, where it does not. */
  begin(): void {
    this.#messages ??= [];
  }

  get isHolding(): boolean {
    return this.#messages !== undefined;
  }

  /** `false` where it holds nothing now or there is no room. */
  push(bytes: Uint8Array): boolean {
    if (this.#messages === undefined || this.#bytes + bytes.length > LIMIT_BYTES) return false;
    this.#messages.push(bytes);
    this.#bytes += bytes.length;
    this.#budget.count(this.#twin, bytes.length);
    return true;
  }

  /** Gives out everything and holds no more. */
  end(): Uint8Array[] {
    const messages = this.#messages ?? [];
    this.#budget.count(this.#twin, -this.#bytes);
    this.#messages = undefined;
    this.#bytes = 0;
    return messages;
  }
}

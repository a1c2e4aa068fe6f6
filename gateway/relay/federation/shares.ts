/** What each of many has of something that all share: messages and their bytes. */
import type { JobLimits } from './jobs.ts';

export class Shares<Key> {
  readonly #limits: JobLimits;
  readonly #held = new Map<Key, { messages: number; bytes: number }>();

  /** `limits`: of one key. */
  constructor(limits: JobLimits) {
    this.#limits = limits;
  }

  /** The first message of a key may be larger than its share: else some could never be sent. */
  hasRoom(key: Key, bytes: number): boolean {
    const held = this.#held.get(key);
    if (held === undefined) return true;
    return held.messages < this.#limits.messages && held.bytes + bytes <= this.#limits.bytes;
  }

  isWithin(key: Key): boolean {
    const held = this.#held.get(key);
    return held === undefined || held.bytes <= this.#limits.bytes;
  }

  count(key: Key, messages: number, bytes: number): void {
    const held = this.#held.get(key) ?? { messages: 0, bytes: 0 };
    held.messages += messages;
    held.bytes += bytes;
    if (held.messages > 0) this.#held.set(key, held);
    else this.#held.delete(key);
  }
}

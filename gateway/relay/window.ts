/** What was handed to one session's line and is not proven to have arrived. */

export interface SentMessage {
  /** Place in the order of sending; a later one has a larger number. */
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly sentAt: number;
  /** Entry of the queue that holds it; without one it is in this memory alone. */
  entry: string | undefined;
  /** It is on its way into the queue. */
  storing: boolean;
  proven: boolean;
}

const MAX_MESSAGES = 8192;
const MAX_BYTES = 4 * 1024 * 1024;

/** A session has room for so much even where others have used up what all share. */
const OWN_BYTES = 16 * 1024;
/** Of what all share one twin has at most a quarter. */
const TWIN_SHARE = 4;

/** Memory that the windows of all sessions share. */
export class WindowBudget {
  readonly #limitBytes: number;
  readonly #twins = new Map<number, number>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  hasRoom(twin: number): boolean {
    return this.#bytes < this.#limitBytes && (this.#twins.get(twin) ?? 0) < this.#limitBytes / TWIN_SHARE;
  }

  count(twin: number, bytes: number): void {
    this.#bytes += bytes;
    const ofTwin = (this.#twins.get(twin) ?? 0) + bytes;
    if (ofTwin > 0) this.#twins.set(twin, ofTwin);
    else this.#twins.delete(twin);
  }
}

/** Messages in the order they were sent, oldest first. */
export class SentWindow {
  readonly #twin: number;
  readonly #budget: WindowBudget;
  #messages: SentMessage[] = [];
  #bytes = 0;
  #last = 0;

  constructor(twin: number, budget: WindowBudget) {
    this.#twin = twin;
    this.#budget = budget;
  }

  get size(): number {
    return this.#messages.length;
  }

  /** Number of the message that was sent last, 0 before the first. */
  get last(): number {
    return this.#last;
  }

  get oldest(): SentMessage | undefined {
    return this.#messages[0];
  }

  /** A single message may be larger than the rest of the room: else it could never be sent. */
  hasRoomFor(bytes: number): boolean {
    if (this.#messages.length >= MAX_MESSAGES || this.#bytes >= MAX_BYTES) return false;
    return this.#bytes + bytes <= OWN_BYTES || this.#budget.hasRoom(this.#twin);
  }

  get isHalfFull(): boolean {
    return this.#messages.length > MAX_MESSAGES / 2 || this.#bytes > MAX_BYTES / 2;
  }

  push(bytes: Uint8Array, entry: string | undefined, now: number): void {
    this.#last += 1;
    this.#messages.push({ number: this.#last, bytes, sentAt: now, entry, storing: false, proven: false });
    this.#count(bytes.length);
  }

  /** Takes out everything up to `number`. */
  prove(number: number): SentMessage[] {
    const behind = this.#messages.findIndex((message) => message.number > number);
    const proven = this.#messages.splice(0, behind < 0 ? this.#messages.length : behind);
    for (const message of proven) {
      message.proven = true;
      this.#count(-message.bytes.length);
    }
    return proven;
  }

  /** Those that no queue holds. */
  unstored(): SentMessage[] {
    return this.#messages.filter(({ entry, storing }) => entry === undefined && !storing);
  }

  /** Forgets everything, as when the line is gone. */
  clear(): void {
    this.prove(this.#last);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#budget.count(this.#twin, bytes);
  }
}

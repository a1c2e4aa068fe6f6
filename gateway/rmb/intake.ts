/** Requests on their way to the handler: so many at once; above that the lines are not read until there is room. */
import type { Envelope } from './envelope.ts';
import { hexOf } from './hex.ts';
import { platform } from './platform.ts';

/** A request as it came from the relay: nothing about it is verified. */
export interface IncomingRequest {
  readonly bytes: Uint8Array;
  readonly envelope: Envelope;
  /** URL of the relay it came through. */
  readonly relay?: string;
}

/** Must settle: until it does the request has one of the places. */
export type RequestHandler = (request: IncomingRequest) => Promise<void>;

/** What happened to requests before the handler saw them. */
export interface IntakeCounts {
  /** Byte for byte a request that came through another relay before. */
  duplicates: number;
  /** Came while nobody served. */
  unserved: number;
  /** Times the lines were paused because all places were taken. */
  pauses: number;
  /** Lost because lines that cannot be paused brought more than memory may hold. */
  dropped: number;
}

export interface IntakeOptions {
  /** Requests at the handler, and the bytes of their envelopes. */
  readonly limit: number;
  readonly limitBytes: number;
  /** More than one relay: the same request may come through each. */
  readonly severalRelays: boolean;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly onError: (error: unknown) => void;
  readonly onDropped: () => void;
}

/** What may still come out of lines that were just paused: a frame of each, and what was read together with it. */
const MAX_HELD_BYTES = 68 * 1024 * 1024;
/** Above the smallest frames that one read of each line may hold: a small request takes more memory than its bytes. */
const MAX_HELD = 32_768;
const REMEMBERED_REQUESTS = 8192;

export class Intake {
  readonly counts: IntakeCounts = { duplicates: 0, unserved: 0, pauses: 0, dropped: 0 };
  readonly #options: IntakeOptions;
  /** Digests of requests and the relay each came through first, oldest first. */
  readonly #arrivals = new Map<string, string>();
  #handler: RequestHandler | undefined;
  #held: IncomingRequest[] = [];
  #heldBytes = 0;
  #serving = 0;
  #servingBytes = 0;
  #paused = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Requests at the handler now. */
  get serving(): number {
    return this.#serving;
  }

  serve(handler: RequestHandler): void {
    this.#handler = handler;
  }

  take(request: IncomingRequest): void {
    if (this.#handler === undefined) this.counts.unserved += 1;
    else if (this.#cameElsewhere(request)) this.counts.duplicates += 1;
    else if (this.#held.length === 0 && this.#hasRoom()) this.#start(request);
    else this.#hold(request);
  }

  #hasRoom(): boolean {
    return this.#serving < this.#options.limit && this.#servingBytes < this.#options.limitBytes;
  }

  #start(request: IncomingRequest): void {
    const size = request.bytes.length;
    this.#serving += 1;
    this.#servingBytes += size;
    this.#run(request)
      .catch(this.#options.onError)
      .finally(() => {
        this.#serving -= 1;
        this.#servingBytes -= size;
        this.#goOn();
      });
    if (this.#hasRoom() || this.#paused) return;
    this.#paused = true;
    this.counts.pauses += 1;
    this.#options.pause();
  }

  async #run(request: IncomingRequest): Promise<void> {
    await this.#handler?.(request);
  }

  /** Frames that had been read with the last one come although the line is paused. */
  #hold(request: IncomingRequest): void {
    if (this.#held.length >= MAX_HELD || this.#heldBytes + request.bytes.length > MAX_HELD_BYTES) {
      this.counts.dropped += 1;
      this.#options.onDropped();
      return;
    }
    this.#held.push(request);
    this.#heldBytes += request.bytes.length;
  }

  #goOn(): void {
    while (this.#held.length > 0 && this.#hasRoom()) {
      const next = this.#held.shift() as IncomingRequest;
      this.#heldBytes -= next.bytes.length;
      this.#start(next);
    }
    // Not for one free place: pausing and resuming for each request would be work of its own.
    const { limit, limitBytes } = this.#options;
    const calm = this.#serving <= (limit * 3) / 4 && this.#servingBytes <= (limitBytes * 3) / 4;
    if (!this.#paused || this.#held.length > 0 || !calm) return;
    this.#paused = false;
    this.#options.resume();
  }

  #cameElsewhere({ bytes, relay }: IncomingRequest): boolean {
    if (!this.#options.severalRelays || relay === undefined) return false;
    const digest = hexOf(platform.sha256(bytes));
    const first = this.#arrivals.get(digest);
    if (first !== undefined) return first !== relay;
    this.#arrivals.set(digest, relay);
    for (const oldest of this.#arrivals.keys()) {
      if (this.#arrivals.size <= REMEMBERED_REQUESTS) break;
      this.#arrivals.delete(oldest);
    }
    return false;
  }
}

/** When blocks become final: in order, a while after they were made, unless that is held back. */
import type { Block } from './block.ts';

export interface FinalityTerms {
  /** Milliseconds after which a block is final. */
  readonly afterMs: number;
  /** Blocks that the newest final block stays behind the head at least. */
  readonly lagBlocks: number;
  /** Nothing becomes final by itself. */
  readonly held: boolean;
}

interface Waiting {
  readonly block: Block;
  readonly dueAt: number;
}

export class Finality {
  readonly #finalize: (block: Block) => void;
  #terms: FinalityTerms;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `finalize` is called for each block, oldest first. */
  constructor(afterMs: number, finalize: (block: Block) => void) {
    this.#terms = { afterMs, lagBlocks: 0, held: false };
    this.#finalize = finalize;
  }

  /** A new head. */
  add(block: Block): void {
    this.#waiting.push({ block, dueAt: performance.now() + this.#terms.afterMs });
    this.#schedule();
  }

  /** Blocks above `number` left the chain. */
  forget(number: number): void {
    this.#waiting = this.#waiting.filter(({ block }) => block.number <= number);
  }

  set(terms: Partial<FinalityTerms>): void {
    this.#terms = { ...this.#terms, ...terms };
    this.#advance();
  }

  /** Makes all blocks up to `number` final at once, whatever holds them. */
  upTo(number: number): void {
    for (let first = this.#waiting[0]; first !== undefined && first.block.number <= number; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#finalize(first.block);
    }
  }

  #advance(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#isDue(first); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#finalize(first.block);
    }
    this.#schedule();
  }

  /** Never at once: a block is announced before it is final. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const [next] = this.#waiting;
    if (next === undefined || !this.#isAllowed(next)) return;
    this.#timer = setTimeout(() => this.#advance(), Math.max(1, Math.ceil(next.dueAt - performance.now())));
  }

  #isDue(waiting: Waiting): boolean {
    return waiting.dueAt <= performance.now() && this.#isAllowed(waiting);
  }

  #isAllowed({ block }: Waiting): boolean {
    const head = this.#waiting.at(-1)?.block.number ?? 0;
    return !this.#terms.held && block.number <= head - this.#terms.lagBlocks;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }
}

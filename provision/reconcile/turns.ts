/** Long work in short turns, so that nobody waits behind it. */
import { setImmediate as nextTurn } from 'node:timers/promises';

const TURN_MS = 2;

export class Turns {
  #until = performance.now() + TURN_MS;

  /** Asked before each small piece of work. */
  get isOver(): boolean {
    return performance.now() > this.#until;
  }

  /** Lets others have theirs. */
  async next(): Promise<void> {
    await nextTurn();
    this.#until = performance.now() + TURN_MS;
  }
}

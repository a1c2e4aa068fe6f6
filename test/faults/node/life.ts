/** One life of a process: once it is over, nothing that its code still does has an effect. */

/** What code of a dead process meets. */
export class Dead extends Error {
  override readonly name = 'Dead';

  constructor() {
    super('this process is no more');
  }
}

export class Life {
  readonly name: string;
  readonly #ended = new AbortController();

  constructor(name: string) {
    this.name = name;
  }

  get isOver(): boolean {
    return this.#ended.signal.aborted;
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  end(): void {
    this.#ended.abort(new Dead());
  }

  /** Throws `Dead` once it is over. */
  check(): void {
    if (this.isOver) throw new Dead();
  }
}

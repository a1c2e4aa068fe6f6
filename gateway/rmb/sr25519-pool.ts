/** sr25519 verification in worker threads: 0.3 ms each would otherwise stand in the way of every socket. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { packJobs, type Sr25519Job } from './sr25519-batch.ts';

export interface Sr25519PoolOptions {
  /** Threads, started as they are needed; default one for each of the machine's processors, at most 4. */
  readonly threads?: number;
  /** Signatures that may wait or be worked on. */
  readonly limit?: number;
  /** Milliseconds one verification may take from being asked for. */
  readonly deadlineMs?: number;
}

interface Waiting {
  readonly job: Sr25519Job;
  readonly resolve: (valid: boolean) => void;
  readonly reject: (error: Error) => void;
  readonly expiresAt: number;
}

interface Thread {
  readonly worker: Worker;
  /** Of the batch that it works on, in its order. */
  jobs: readonly number[];
}

const BATCH = 32;

/** A thread holds one batch; without a limit V8 lets its heap grow to three times that. */
const THREAD_MEMORY = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/** The pool cannot take or finish a job; the signature is neither good nor bad. */
export class VerifierBusyError extends Error {
  override readonly name = 'VerifierBusyError';
}

export class Sr25519Pool {
  readonly #threadLimit: number;
  readonly #limit: number;
  readonly #deadlineMs: number;
  readonly #threads = new Set<Thread>();
  readonly #waiting = new Map<number, Waiting>();
  /** Ids that no thread has yet. */
  #queue: number[] = [];
  #nextId = 0;
  #flushing = false;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: Sr25519PoolOptions = {}) {
    this.#threadLimit = options.threads ?? Math.min(4, availableParallelism());
    this.#limit = options.limit ?? 4096;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
  }

  /** Starts the first thread, so that the first signature does not wait for it. */
  warm(): void {
    if (this.#closed || this.#threads.size > 0) return;
    const { worker } = this.#start();
    worker.unref();
  }

  /** Whether the 64-byte `signature` is the account's. Rejects with `VerifierBusyError` when full or too late. */
  verify(account: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    if (this.#closed) return Promise.reject(new VerifierBusyError('the signature verifier is closed'));
    if (account.length !== 32 || signature.length !== 64) return Promise.resolve(false);
    if (this.#waiting.size >= this.#limit) {
      return Promise.reject(new VerifierBusyError(`${this.#limit} signatures are waiting to be verified`));
    }
    return new Promise((resolve, reject) => {
      this.#nextId += 1;
      const id = this.#nextId;
      const job = { account, message, signature };
      this.#waiting.set(id, { job, resolve, reject, expiresAt: Date.now() + this.#deadlineMs });
      this.#queue.push(id);
      this.#sweep ??= setInterval(() => this.#expire(), 1000).unref();
      if (this.#flushing) return;
      this.#flushing = true;
      // One post for all that arrive in this turn.
      setImmediate(() => {
        this.#flushing = false;
        this.#dispatch();
      });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#queue = [];
    for (const { reject } of this.#waiting.values()) reject(new VerifierBusyError('the signature verifier was closed'));
    this.#waiting.clear();
    const threads = [...this.#threads];
    this.#threads.clear();
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#idleThread();
      if (thread === undefined) return;
      const jobs: Sr25519Job[] = [];
      const ids: number[] = [];
      for (const id of this.#queue.splice(0, BATCH)) {
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) continue;
        ids.push(id);
        jobs.push(waiting.job);
      }
      if (ids.length === 0) continue;
      const batch = packJobs(jobs);
      thread.jobs = ids;
      thread.worker.ref();
      thread.worker.postMessage(batch, [batch.buffer]);
    }
  }

  #idleThread(): Thread | undefined {
    for (const thread of this.#threads) if (thread.jobs.length === 0) return thread;
    return this.#threads.size < this.#threadLimit ? this.#start() : undefined;
  }

  #start(): Thread {
    const worker = new Worker(new URL('./sr25519-worker.ts', import.meta.url), { resourceLimits: THREAD_MEMORY });
    const thread: Thread = { worker, jobs: [] };
    this.#threads.add(thread);
    worker.on('message', (verdicts: Uint8Array) => {
      const ids = thread.jobs;
      thread.jobs = [];
      for (const [index, id] of ids.entries()) {
        this.#waiting.get(id)?.resolve(verdicts[index] === 1);
        this.#waiting.delete(id);
      }
      worker.unref();
      this.#dispatch();
    });
    const lost = (): void => {
      if (!this.#threads.delete(thread)) return;
      for (const id of thread.jobs) {
        this.#waiting.get(id)?.reject(new VerifierBusyError('the thread that verifies signatures ended'));
        this.#waiting.delete(id);
      }
      this.#dispatch();
    };
    worker.on('error', lost);
    worker.on('exit', lost);
    return thread;
  }

  #expire(): void {
    const now = Date.now();
    for (const [id, { reject, expiresAt }] of this.#waiting) {
      if (expiresAt > now) break;
      this.#waiting.delete(id);
      reject(new VerifierBusyError(`no verdict on a signature within ${this.#deadlineMs} ms`));
    }
    this.#queue = this.#queue.filter((id) => this.#waiting.has(id));
    // A thread that does not answer is replaced, not waited for.
    for (const thread of this.#threads) {
      if (thread.jobs.length === 0 || thread.jobs.some((id) => this.#waiting.has(id))) continue;
      thread.worker.terminate().catch(() => undefined); // its exit is handled as a lost thread
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }
}

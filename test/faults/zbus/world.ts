/** Runs interleavings of faults against a real broker; a killed server is one whose every connection is dead. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { Ledger } from './ledger.ts';
import { Line } from './line.ts';
import type { Step } from './steps.ts';
import { worker, workerService } from './worker.ts';

const METHODS = { key: 'One', all: 'All', read: 'Look' } as const;
const SETTLE_MS = 20_000;
const START_TRIES = 40;

interface Serving {
  readonly server: ZbusServer;
  readonly line: Line;
  /** What a dead process would not do any more is not done. */
  dead: boolean;
}

interface Calling {
  readonly client: ZbusClient;
  readonly line: Line;
}

/** A broker and all that talks to it, used for one interleaving after another. */
export class World {
  readonly #folder: string;
  readonly #redis: TestRedis;
  readonly #peek: Redis;
  #opened = 0;
  #running: Promise<void> = Promise.resolve();
  /** How calls ended over all interleavings. */
  readonly ends = new Map<string, number>();
  readonly steps = new Map<string, number>();
  calls = 0;

  private constructor(folder: string, redis: TestRedis) {
    this.#folder = folder;
    this.#redis = redis;
    this.#peek = new Redis({ path: redis.socket, protocol: 2, retryStrategy: () => 5, maxRetriesPerRequest: null });
    this.#peek.on('error', () => undefined);
  }

  static async open(): Promise<World> {
    return new World(await mkdtemp(join(tmpdir(), 'gn-faults-')), await startRedis());
  }

  async close(): Promise<void> {
    // A run that was interrupted for want of time is still under way.
    await this.#running.catch(() => undefined);
    this.#peek.disconnect();
    await this.#redis.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** @throws Error that lists everything that should not be */
  run(steps: readonly Step[]): Promise<void> {
    this.#running = this.#run(steps);
    return this.#running;
  }

  async #run(steps: readonly Step[]): Promise<void> {
    const run = new Run(this.#redis, this.#peek, () => this.#line());
    try {
      await run.begin();
      for (const step of steps) {
        this.steps.set(step.do, (this.steps.get(step.do) ?? 0) + 1);
        await run.step(step);
      }
      await run.settle();
    } finally {
      await run.dispose();
      await this.#peek.flushall();
    }
    this.calls += run.ledger.size;
    for (const [end, count] of run.ledger.ends) this.ends.set(end, (this.ends.get(end) ?? 0) + count);
    const faults = [...run.ledger.faults(), ...run.left];
    if (faults.length > 0) throw new Error(faults.join('\n'));
  }

  async #line(): Promise<Line> {
    this.#opened += 1;
    return await Line.open(join(this.#folder, `${this.#opened}`), this.#redis.socket);
  }
}

class Run {
  readonly ledger = new Ledger();
  /** What was left behind on the broker. */
  readonly left: string[] = [];
  readonly #redis: TestRedis;
  readonly #peek: Redis;
  readonly #line: () => Promise<Line>;
  readonly #calls: Promise<void>[] = [];
  readonly #ending: Promise<unknown>[] = [];
  readonly #lines: Line[] = [];
  #serving: Serving | undefined;
  #calling: Calling | undefined;

  constructor(redis: TestRedis, peek: Redis, line: () => Promise<Line>) {
    this.#redis = redis;
    this.#peek = peek;
    this.#line = line;
  }

  async begin(): Promise<void> {
    await this.#start();
    await this.#arrive();
  }

  async step(step: Step): Promise<void> {
    switch (step.do) {
      case 'call':
        this.#call(step);
        return;
      case 'kill':
        this.#kill();
        return;
      case 'start':
        if (this.#serving === undefined) await this.#start();
        return;
      case 'stop':
        this.#stop(step.withinMs);
        return;
      case 'cut':
      case 'deafen':
      case 'orphan':
        (step.whose === 'server' ? this.#serving : this.#calling)?.line[step.do](step.ms);
        return;
      case 'leave':
        this.#leave();
        await this.#arrive();
        return;
      case 'restart-broker':
        await this.#redis.restart(step.ms);
        return;
      case 'freeze-broker':
        await this.#freeze(step.ms);
        return;
      case 'fill-broker':
        await this.#peek.config('SET', 'maxmemory', '1');
        this.#ending.push(sleep(step.ms).then(() => this.#peek.config('SET', 'maxmemory', '0')));
        return;
      case 'drop-connections':
        await this.#peek.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        return;
      case 'wait':
        await sleep(step.ms);
    }
  }

  /** Lets everything come to its end: what then is left on the broker stays there. */
  async settle(): Promise<void> {
    await within(SETTLE_MS, 'calls did not end', Promise.all(this.#calls));
    this.#leave();
    this.#stop(100);
    await within(SETTLE_MS, 'clients and servers did not end', Promise.all(this.#ending));
    await this.#start();
    await this.#arrive();
    const asked = this.ledger.follow('last', SETTLE_MS, () => this.#ask('read', 'last', SETTLE_MS));
    await within(SETTLE_MS, 'the module does not answer any more', asked);
    this.#leave();
    await Promise.all(this.#ending);
    const giveUpAt = performance.now() + SETTLE_MS;
    let left = await this.#look();
    while (left.length > 0 && performance.now() < giveUpAt) {
      await sleep(5);
      left = await this.#look();
    }
    this.left.push(...left);
  }

  async dispose(): Promise<void> {
    this.#kill();
    this.#leave();
    for (const line of this.#lines) line.kill();
    await within(SETTLE_MS, 'not everything ended', Promise.all([...this.#ending, ...this.#calls]));
    await Promise.all(this.#lines.map((line) => line.close()));
  }

  /** Lists of calls, and lists of answers that nobody will read and the broker will not forget. */
  async #look(): Promise<string[]> {
    const keys = await this.#peek.keys('*');
    const found = await Promise.all(
      keys.map(async (key) => {
        if (key.startsWith('work:instance')) return undefined;
        const ttl = await this.#peek.ttl(key);
        if (key.startsWith('work'))
          return ttl === -2 ? undefined : `${key} is left with ${await this.#peek.llen(key)} calls`;
        return ttl === -1 ? `the answers ${key} are left for ever` : undefined;
      }),
    );
    return found.filter((text) => text !== undefined);
  }

  async #start(): Promise<void> {
    // As if the time after which a dead holder's lock is free had passed: both would be this process.
    const keys = await this.#peek.keys('work:instance:*');
    if (keys.length > 0) await this.#peek.del(...keys);
    for (let left = START_TRIES; ; left--) {
      const line = await this.#line();
      this.#lines.push(line);
      const serving: Serving = {
        server: new ZbusServer({ module: 'work', broker: line.broker, concurrency: 2 }),
        line,
        dead: false,
      };
      serving.server.serve(
        worker,
        workerService((id) => {
          if (serving.dead) throw new Error('this process is no more');
          this.ledger.runs(id);
        }),
      );
      try {
        await serving.server.start();
        this.#serving = serving;
        return;
      } catch (error) {
        line.kill();
        if (left === 0) throw error;
      }
    }
  }

  #kill(): void {
    const serving = this.#serving;
    if (serving === undefined) return;
    this.#serving = undefined;
    serving.dead = true;
    serving.line.kill();
    this.#ending.push(serving.server.stop(0));
  }

  #stop(withinMs: number): void {
    const serving = this.#serving;
    if (serving === undefined) return;
    this.#serving = undefined;
    this.#ending.push(
      serving.server.stop(withinMs).then(() => {
        serving.dead = true;
      }),
    );
  }

  async #arrive(): Promise<void> {
    const line = await this.#line();
    this.#lines.push(line);
    this.#calling = { client: new ZbusClient({ broker: line.broker }), line };
  }

  #leave(): void {
    const calling = this.#calling;
    if (calling === undefined) return;
    this.#calling = undefined;
    this.#ending.push(calling.client.close());
  }

  #call({ turn, key, ms, deadlineMs, cancelMs }: Step & { do: 'call' }): void {
    const id = `call ${this.ledger.size}`;
    const signal = cancelMs === null ? undefined : AbortSignal.timeout(cancelMs);
    this.#calls.push(
      this.ledger.follow(id, deadlineMs, () => this.#ask(turn, id, deadlineMs, { key: `${key}`, ms }, signal)),
    );
  }

  async #ask(
    turn: keyof typeof METHODS,
    id: string,
    deadlineMs: number,
    { key, ms } = { key: '', ms: 0 },
    signal?: AbortSignal,
  ): Promise<string> {
    const client = this.#calling?.client;
    if (client === undefined) throw new Error('there is no client');
    const options = { deadlineMs, ...(signal === undefined ? {} : { signal }) };
    return await client.of(worker)[METHODS[turn]]({ id, key, ms }, options);
  }

  async #freeze(milliseconds: number): Promise<void> {
    const pid = Number(/process_id:(\d+)/.exec(await this.#peek.info('server'))?.[1]);
    process.kill(pid, 'SIGSTOP');
    await sleep(milliseconds);
    process.kill(pid, 'SIGCONT');
  }
}

async function within(milliseconds: number, otherwise: string, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${otherwise} within ${milliseconds} ms`);
  });
  late.catch(() => undefined);
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

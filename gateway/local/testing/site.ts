/** A twin with the local interface, its Redis, a relay, and another twin that answers; all gone after `stop`. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Registry } from 'prom-client';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { Door } from '../../door/door.ts';
import { type TestTwin, World } from '../../relay/testing/world.ts';
import { PayloadCipher } from '../../rmb/cipher.ts';
import type { RmbClient } from '../../rmb/client.ts';
import { LocalFront, type LocalFrontOptions } from '../front.ts';
import { allowList } from '../names.ts';
import { parseRedisUrl } from '../redis.ts';

const DEADLINE_MS = 20_000;
/** Processes that start on a busy machine take their time; a test's own timeout may end it sooner. */
const PATIENCE_MS = 60_000;
/** Tests send faster than a twin may. */
const limits = { ratePerSecond: 10_000, rateBurst: 10_000 };

export interface LocalAnswer {
  ver: number;
  ref: string | null;
  dat: string;
  src: string;
  shm: string | null;
  now: number;
  err: { code: number; message: string } | null;
}

export class Site {
  readonly world: World;
  readonly local: TestRedis;
  /** For what local programs do; one command at a time may block it. */
  readonly redis: Redis;
  /** The twin with the local interface. */
  readonly me: TestTwin;
  /** A twin elsewhere. */
  readonly node: TestTwin;
  readonly nodeClient: RmbClient;
  readonly #open: Redis[] = [];
  readonly #fronts = new Set<{ readonly front: LocalFront; readonly client: RmbClient }>();

  private constructor(world: World, local: TestRedis, me: TestTwin, node: TestTwin) {
    this.world = world;
    this.local = local;
    this.me = me;
    this.node = node;
    this.redis = this.connection();
    this.nodeClient = world.client(node);
  }

  static async start(settings: readonly string[] = []): Promise<Site> {
    const world = await World.start();
    const local = await startRedis(settings);
    const site = new Site(world, local, await world.chain.add(7, 'sr25519'), await world.chain.add(17, 'ed25519'));
    world.serve(site.nodeClient, site.node, { limits });
    await site.nodeClient.connect({ deadlineMs: DEADLINE_MS });
    return site;
  }

  connection(): Redis {
    const redis = new Redis({ path: this.local.socket, maxRetriesPerRequest: 0, retryStrategy: () => 50 });
    redis.on('error', () => undefined);
    this.#open.push(redis);
    return redis;
  }

  /** Starts the interface for a twin (`me` if none is named). */
  async front(
    options: Partial<Omit<LocalFrontOptions, 'commands'>> & {
      commands?: string[];
      twin?: TestTwin;
      waits?: boolean;
    } = {},
  ): Promise<{ front: LocalFront; client: RmbClient; registry: Registry; close: () => Promise<void> }> {
    const { twin = this.me, commands = [], waits = true, ...rest } = options;
    const client = this.world.client(twin);
    const { twins, verifier, log } = this.world;
    const cipher = new PayloadCipher(twin.identity);
    const registry = new Registry();
    const door = new Door({
      ...{ twinId: twin.id, twins, verifier, cipher, log, limits },
      answer: (request, to, answer) => client.answer(request, to, answer),
    });
    const front = new LocalFront({
      redis: parseRedisUrl(this.local.broker),
      ...{ peer: client, door, twins, verifier, cipher, log, registry, mayAsk: true },
      ...rest,
      commands: allowList(commands),
    });
    client.serve(front.handler);
    front.start();
    const entry = { front, client };
    this.#fronts.add(entry);
    if (waits) await until(() => front.connected, 'the local Redis is connected');
    await client.connect({ deadlineMs: DEADLINE_MS }).catch(() => undefined);
    const close = async (): Promise<void> => {
      this.#fronts.delete(entry);
      await front.close();
      await client.close();
    };
    return { front, client, registry, close };
  }

  /** Ends the interfaces that run. */
  async closeFronts(): Promise<void> {
    for (const { front, client } of [...this.#fronts]) {
      await front.close();
      await client.close();
    }
    this.#fronts.clear();
  }

  /** A request as existing clients write it, with changes. */
  request(change: Record<string, unknown> = {}): Record<string, unknown> & { ret: string } {
    return {
      ver: 1,
      ref: 'client-ref',
      cmd: 'calculator.add',
      exp: 60,
      dat: 'WzEwLDIwXQ==',
      tag: null,
      dst: [this.node.id],
      ret: randomUUID(),
      shm: 'application/json',
      now: Math.floor(Date.now() / 1000),
      ...change,
    } as Record<string, unknown> & { ret: string };
  }

  /** Sends a request and waits for so many answers. */
  async ask(request: Record<string, unknown> & { ret: string }, answers = 1): Promise<LocalAnswer[]> {
    await this.redis.lpush('msgbus.system.local', JSON.stringify(request));
    return await this.answers(request.ret, answers);
  }

  async answers(ret: string, count: number): Promise<LocalAnswer[]> {
    const found: LocalAnswer[] = [];
    while (found.length < count) found.push(JSON.parse(await this.pop(ret)));
    return found;
  }

  /** The newest entry of a list, as soon as there is one. */
  async pop(list: string, take: 'blpop' | 'brpop' = 'blpop'): Promise<string> {
    const popped = await this.redis[take](list, DEADLINE_MS / 1000);
    if (popped === null) throw new Error(`nothing came to ${list}`);
    return popped[1];
  }

  async stop(): Promise<void> {
    await this.closeFronts();
    for (const redis of this.#open) redis.disconnect(false);
    await this.world.stop();
    await this.local.stop();
  }
}

/** Waits for a condition that must come true. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const giveUpAt = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > giveUpAt) throw new Error(`did not come true: ${what}`);
    await sleep(10);
  }
}

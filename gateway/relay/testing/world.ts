/** A relay, its Redis and some twins for tests; everything is gone after `stop`. */
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { Door, type DoorOptions } from '../../door/door.ts';
import { PayloadCipher } from '../../rmb/cipher.ts';
import { RmbClient, type RmbClientOptions } from '../../rmb/client.ts';
import { Identity, type KeyType } from '../../rmb/keys.ts';
import { SignatureVerifier } from '../../rmb/signature.ts';
import { TwinCache, type TwinRecord, type TwinSource } from '../../rmb/twins.ts';
import { Relay, type RelayOptions } from '../relay.ts';

const DOMAIN = 'relay.example';

export interface TestTwin {
  readonly id: number;
  readonly identity: Identity;
}

/** Twins in memory: what the chain would say. */
export class TestChain implements TwinSource {
  readonly records = new Map<number, TwinRecord>();
  lookups = 0;
  down = false;

  async twin(id: number): Promise<TwinRecord | undefined> {
    this.lookups += 1;
    if (this.down) throw new Error('the chain is away');
    return this.records.get(id);
  }

  async add(id: number, keyType: KeyType, options: { encrypted?: boolean; relay?: string[] } = {}): Promise<TestTwin> {
    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), keyType);
    this.put(id, identity, options);
    return { id, identity };
  }

  put(id: number, identity: Identity, options: { encrypted?: boolean; relay?: string[] } = {}): void {
    this.records.set(id, {
      id,
      account: identity.publicKey,
      relay: options.relay ?? [DOMAIN],
      encryptionKey: options.encrypted === false ? null : identity.encryptionKey,
    });
  }
}

export class World {
  readonly chain = new TestChain();
  readonly twins = new TwinCache(this.chain, { freshIntervalMs: 0 });
  readonly verifier = new SignatureVerifier({ threads: 1 });
  readonly log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  readonly redis: TestRedis;
  relay: Relay;
  port = 0;
  readonly #clients: RmbClient[] = [];

  private constructor(redis: TestRedis, relay: Relay) {
    this.redis = redis;
    this.relay = relay;
  }

  static async start(options: Partial<RelayOptions> = {}): Promise<World> {
    const redis = await startRedis();
    const world: World = new World(redis, undefined as never);
    world.relay = world.newRelay(options);
    world.port = await world.relay.listen('127.0.0.1', 0);
    return world;
  }

  newRelay(options: Partial<RelayOptions> = {}): Relay {
    return new Relay({
      domains: [DOMAIN],
      twins: this.twins,
      broker: this.redis.broker,
      log: this.log,
      ...options,
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** A client that is closed with the world. */
  client(twin: TestTwin, options: Partial<RmbClientOptions> = {}): RmbClient {
    const client = new RmbClient({
      relays: [this.url],
      identity: twin.identity,
      twinId: twin.id,
      twins: this.twins,
      verifier: this.verifier,
      log: this.log,
      timing: { firstPauseMs: 20, longestPauseMs: 100 },
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** A door before a client that answers with `{"echo": <command>, "twin": <id>, "got": <payload>}`. */
  serve(client: RmbClient, twin: TestTwin, options: Partial<DoorOptions> = {}): Door {
    const door = new Door({
      twinId: twin.id,
      session: client.session,
      twins: this.twins,
      verifier: this.verifier,
      cipher: new PayloadCipher(twin.identity),
      answer: (request, to, answer) => client.answer(request, to, answer),
      log: this.log,
      ...options,
    });
    client.serve(
      door.handler(async (request) => ({
        kind: 'response',
        payload: JSON.stringify({
          echo: request.command,
          twin: request.twin.id,
          encrypted: request.encrypted,
          got: Buffer.from(request.payload).toString('utf8'),
        }),
      })),
    );
    return door;
  }

  /** For those that share a world among their cases. */
  async closeClients(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }

  async stop(): Promise<void> {
    await this.closeClients();
    await this.relay.close();
    await this.verifier.close();
    await this.redis.stop();
  }
}

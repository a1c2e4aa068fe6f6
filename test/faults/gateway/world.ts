/**
 * A tenant, the relay, the gateway with its door, and a provisiond over books, each with all its lines led over
 * taps: who dies is cut off from everything at once, and all it still does goes nowhere.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { gateway } from '../../../gateway/main.ts';
import { readRelayFlags } from '../../../gateway/relay/flags.ts';
import { startRelay } from '../../../gateway/relay/start.ts';
import { Identity, RmbClient, type TwinRecord, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { silentLog } from '../../../modules/zbus/broker.ts';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import { beginDaemon } from '../../../modules/zbus/daemon.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { currentTrace } from '../../../modules/zbus/trace.ts';
import { CONTRACT_WATCH_LIMITS } from '../../../provision/engine/contracts.ts';
import { provision } from '../../../provision/interface.ts';
import { type Provisiond, startProvisiond } from '../../../provision/provisiond.ts';
import { TestHost } from '../../../provision/testing/host.ts';
import { Tenant } from '../../../provision/testing/tenant.ts';
import { type Passing, Tap } from '../real/tap.ts';
import { Line } from './line.ts';
import type { Victim } from './points.ts';

const DOMAIN = 'relay.example';
export const NODE_TWIN = 3;
const TENANT_TWIN = 7;
const AWAY_MS = 10;
const SYNC_MS = 1_000;
/** Nothing is told of how long a world takes to begin. */
const CONNECT_MS = 60_000;
const STOP_MS = 5_000;
const GIB = 1024 ** 3;
const HOST_MODULES = ['storage', 'network', 'flist', 'vmd', 'api-gateway'];
const silent = pino({ level: 'silent' });

/** Something that lives, and how it is cut off. */
interface Instance {
  readonly sever: () => void;
  readonly stop: () => Promise<unknown>;
}

export class GatewayWorld {
  readonly host: TestHost;
  readonly tenant: Tenant;
  readonly daemon: Provisiond;
  readonly client: RmbClient;
  /** How often provisiond was asked to make or change a deployment, by the uid of the request. */
  readonly runs: Map<string, number>;
  readonly #folder: string;
  readonly #redis: TestRedis;
  readonly #keyFile: string;
  readonly #toRelay: Line;
  readonly #ends: (() => Promise<unknown>)[] = [];
  readonly #dead: Promise<unknown>[] = [];
  #relay: Instance | undefined;
  #gateway: Instance | undefined;
  #gatewayLine: Line | undefined;
  #port = 0;
  #taps = 0;
  #gateways = 0;
  #isOver = false;
  #striking: Promise<unknown> = Promise.resolve();
  /** Hears of each message, by its place, before it goes on. */
  listener: (site: string) => Promise<void> = () => Promise.resolve();

  private constructor(
    folder: string,
    parts: Pick<GatewayWorld, 'host' | 'tenant' | 'daemon' | 'client' | 'runs'>,
    own: { readonly redis: TestRedis; readonly keyFile: string; readonly toRelay: Line },
  ) {
    this.#folder = folder;
    ({ host: this.host, tenant: this.tenant, daemon: this.daemon, client: this.client, runs: this.runs } = parts);
    ({ redis: this.#redis, keyFile: this.#keyFile, toRelay: this.#toRelay } = own);
  }

  static async start(folder: string): Promise<GatewayWorld> {
    mkdirSync(folder, { recursive: true });
    const key = generateKeyPairSync('ed25519').privateKey;
    const seed = key.export({ format: 'der', type: 'pkcs8' }).subarray(-32).toString('hex');
    const tenant = new Tenant(TENANT_TWIN, key);
    const secret = randomBytes(32).toString('hex');
    const [own, node] = [await Identity.fromSecret(seed, 'ed25519'), await Identity.fromSecret(secret, 'ed25519')];
    const keyFile = join(folder, 'key.json');
    await writeKeyFile(keyFile, { keyType: 'ed25519', secret });

    const redis = await startRedis();
    const host = new TestHost(folder);
    host.twins.set(TENANT_TWIN, tenant.publicKey).set(NODE_TWIN, node.publicKey);
    const { Twin } = host.chain;
    Object.assign(host.chain, {
      Twin: async (args: { id: number }, turn: unknown) => ({
        ...(await Twin(args as never, turn as never)),
        Relay: DOMAIN,
      }),
    });
    const servers = host.serve(redis.broker, HOST_MODULES);
    await Promise.all(servers.map((server) => server.start()));

    const runs = new Map<string, number>();
    const bus = new ZbusClient({ broker: redis.broker });
    const server = countingServer(redis.broker, runs);
    const daemon = startProvisiond({
      ...{ server, bus, log: silentLog, root: join(folder, 'provisiond') },
      guest: { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' },
      cpuOvercommit: 4,
      contractWaitMs: 1_000,
      host: { cpus: 4, memoryBytes: 16 * GIB },
      // What the chain tells while the broker is away is found by asking.
      contractLimits: { ...CONTRACT_WATCH_LIMITS, intervalMs: SYNC_MS },
    });
    await server.start();

    let world: GatewayWorld | undefined;
    const toRelay = await Line.open('tenant', async (site) => world?.listener(site));
    const records = new Map<number, TwinRecord>();
    for (const [id, account] of host.twins) records.set(id, { id, account, relay: [DOMAIN], encryptionKey: null });
    const client = new RmbClient({
      relays: [toRelay.url],
      identity: own,
      twinId: TENANT_TWIN,
      twins: { twin: async (id) => records.get(id) },
      timing: { firstPauseMs: 20, longestPauseMs: 100 },
    });
    world = new GatewayWorld(folder, { host, tenant, daemon, client, runs }, { redis, keyFile, toRelay });
    world.#ends.push(
      () => client.close(),
      () => daemon.stop(),
      () => server.stop(),
      ...servers.map((one) => () => one.stop()),
      () => bus.close(),
      () => toRelay.close(),
      () => redis.stop(),
    );
    try {
      await world.#startRelay();
      await world.#startGateway();
      await client.connect({ deadlineMs: CONNECT_MS });
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** Returns when the victim is dead, and Redis also back; the others are it a moment later. */
  async strike(victim: Victim): Promise<void> {
    if (victim === 'redis') {
      await this.#revive(() => this.#redis.restart(AWAY_MS));
      return;
    }
    if (victim === 'relay') {
      this.#toRelay.target = 0;
      if (this.#gatewayLine !== undefined) this.#gatewayLine.target = 0;
      this.#bury(this.#relay);
      this.#relay = undefined;
    } else {
      this.#bury(this.#gateway);
      this.#gateway = undefined;
    }
    const back = async (): Promise<void> => {
      await sleep(AWAY_MS);
      if (this.#isOver) return;
      await (victim === 'relay' ? this.#startRelay() : this.#startGateway());
    };
    this.#revive(back).catch(() => undefined);
  }

  /** After whoever was struck before is back. */
  async #revive(back: () => Promise<void>): Promise<void> {
    const after = this.#striking.then(back);
    after.catch(() => undefined);
    this.#striking = after;
    await after;
  }

  /** Everybody who died lives again. Throws what kept one from it. */
  async whole(): Promise<void> {
    await this.#striking;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#striking.catch(() => undefined);
    this.#bury(this.#gateway);
    this.#bury(this.#relay);
    for (const end of this.#ends) await Promise.race([end().catch(() => undefined), sleep(STOP_MS)]);
    await Promise.race([Promise.allSettled(this.#dead), sleep(STOP_MS)]);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #bury(instance: Instance | undefined): void {
    if (instance === undefined) return;
    instance.sever();
    this.#dead.push(instance.stop().catch(() => undefined));
  }

  async #startRelay(): Promise<void> {
    const tap = await this.#tap('relay');
    const flags = ['--broker', `unix://${tap.path}`, '--listen', '127.0.0.1:0', '--domain', DOMAIN, '--no-limit'];
    const relay = await startRelay(readRelayFlags(flags), silent);
    this.#relay = {
      sever: () => {
        this.#toRelay.cut();
        this.#gatewayLine?.cut();
        this.#dead.push(tap.close());
      },
      stop: () => relay.stop(),
    };
    this.#port = relay.port;
    this.#toRelay.target = relay.port;
    if (this.#gatewayLine !== undefined) this.#gatewayLine.target = relay.port;
  }

  async #startGateway(): Promise<void> {
    const before = join(this.#folder, `node-${this.#gateways}`, gateway.name);
    this.#gateways += 1;
    const state = join(this.#folder, `node-${this.#gateways}`);
    mkdirSync(state);
    // What the dead one still writes is in its own folder.
    if (existsSync(before)) cpSync(before, join(state, gateway.name), { recursive: true });
    const tap = await this.#tap('gateway');
    const line = await Line.open('gateway', (site) => this.listener(site));
    line.target = this.#port;
    this.#gatewayLine = line;
    const running = beginDaemon(gateway, {
      broker: `unix://${tap.path}`,
      state,
      logLevel: 'silent',
      options: { relay: line.url, 'relay-domain': DOMAIN, 'key-file': this.#keyFile },
    });
    this.#gateway = {
      sever: () => {
        this.#dead.push(line.close(), tap.close());
      },
      stop: () => running.stop(),
    };
    running.ready.catch(() => undefined);
    await running.ready;
  }

  async #tap(who: string): Promise<Tap> {
    this.#taps += 1;
    const tap = await Tap.open(join(this.#folder, `${who}-${this.#taps}.sock`), this.#redis.socket);
    tap.listener = ({ call, moment }: Passing) => this.listener(`${who} ${call} ${moment}`);
    return tap;
  }
}

/** Serves provision, and counts what it is asked to write by the request it belongs to. */
function countingServer(broker: string, runs: Map<string, number>): ZbusServer {
  const server = new ZbusServer({ module: 'provision', broker, concurrency: 32 });
  const serve = server.serve.bind(server) as (definition: object, service: Record<string, unknown>) => void;
  server.serve = (definition: object, service: Record<string, unknown>): void => {
    if (definition !== provision) {
      serve(definition, service);
      return;
    }
    const { CreateOrUpdate: work } = service as { CreateOrUpdate: (...args: unknown[]) => unknown };
    const counted = (...args: unknown[]): unknown => {
      const uid = currentTrace() ?? '';
      runs.set(uid, (runs.get(uid) ?? 0) + 1);
      return work(...args);
    };
    serve(definition, { ...service, CreateOrUpdate: counted });
  };
  return server;
}

/** A development chain with a farm, chaind as a process, a bus, and the processes of a test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { vi } from 'vitest';
import { ChainClient, type ChainEvent } from '../../../gateway/chain/client.ts';
import { type RunningDevChain, startDevChain } from '../../../gateway/chain/dev/start.ts';
import { redirectLibraryLog } from '../../../gateway/chain/library-log.ts';
import { Identity, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import type { InterfaceDefinition, Service } from '../../../modules/zbus/definition.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { end } from '../../ended.ts';
import { ownAddress } from '../own-address.ts';

const checkout = join(import.meta.dirname, '../../..');
/** A daemon answers, also on a machine with other work. */
const START_MS = 30_000;
const log = pino({ level: 'silent' });

/** A daemon of which only some methods of one object are asked for. */
export async function servePartly<D extends InterfaceDefinition>(
  broker: string,
  definition: D,
  answers: Partial<Service<D>>,
): Promise<ZbusServer> {
  const refuse = (): never => {
    throw new Error('not asked for');
  };
  const others = Object.fromEntries(Object.keys(definition.methods).map((name) => [name, refuse]));
  const server = new ZbusServer({ module: definition.module, broker });
  server.serve(definition, { ...others, ...answers } as unknown as Service<D>);
  await server.start();
  return server;
}

export class ReportStand {
  readonly state: string;
  readonly redis: TestRedis;
  readonly bus: ZbusClient;
  running: RunningDevChain;
  readonly node: ChainClient;
  readonly farmer: ChainClient;
  readonly farmId: number;
  /** Events of final blocks, in order. */
  readonly events: ChainEvent[] = [];
  readonly #following = new AbortController();
  /** The newest block whose events are there. */
  #followed = 0;
  readonly #children = new Map<ChildProcess, string>();

  private constructor(parts: Pick<ReportStand, 'state' | 'redis' | 'running' | 'node' | 'farmer' | 'farmId'>) {
    this.state = parts.state;
    this.redis = parts.redis;
    this.running = parts.running;
    this.node = parts.node;
    this.farmer = parts.farmer;
    this.farmId = parts.farmId;
    this.bus = new ZbusClient({ broker: parts.redis.broker });
  }

  static async open(): Promise<ReportStand> {
    redirectLibraryLog();
    const state = await mkdtemp(join(tmpdir(), 'reports-'));
    const redis = await startRedis();
    const running = await startChain(state, 0);
    const secret = randomBytes(32).toString('hex');
    await writeKeyFile(join(state, 'key.json'), { keyType: 'ed25519', secret });
    const open = async (identity: Identity): Promise<ChainClient> => {
      const client = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 60_000 });
      await client.endow();
      return client;
    };
    const node = await open(await Identity.fromSecret(secret, 'ed25519'));
    const farmer = await open(await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519'));
    await farmer.ensureTwin({ relay: 'relay.example' });
    const farmId = await farmer.createFarm('reports');
    const stand = new ReportStand({ state, redis, running, node, farmer, farmId });
    // Ends by its signal; what it missed shows in the sums.
    stand.#follow().catch(() => undefined);
    await stand.start(
      'gateway/chain/main.ts',
      ['--chain', running.url, '--key-file', join(state, 'key.json')],
      'api-gateway',
    );
    return stand;
  }

  async #follow(): Promise<void> {
    for await (const { number, events } of this.farmer.blocks('final', this.#following.signal)) {
      this.events.push(...events);
      this.#followed = number;
    }
  }

  eventsOf(name: string): ChainEvent[] {
    return this.events.filter((event) => event.name === name);
  }

  /** Starts a daemon; with `module`, waits until that answers. */
  async start(
    file: string,
    flags: readonly string[],
    module = '',
    env: Record<string, string> = {},
  ): Promise<ChildProcess> {
    const args = [join(checkout, file), '--broker', this.redis.broker, '--state', this.state, ...flags];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', process.env.SHOW_LOGS === undefined ? 'ignore' : 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.#children.set(child, file);
    child.once('exit', () => this.#children.delete(child));
    if (module !== '') {
      await vi.waitFor(() => this.bus.status(module, { deadlineMs: 1_000 }), { timeout: START_MS, interval: 100 });
    }
    return child;
  }

  async end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await end(child, this.#children.get(child) ?? 'a daemon', signal);
  }

  /** Ends those of one file that a test left behind, or all. */
  async endDaemons(signal: NodeJS.Signals, file?: string): Promise<void> {
    for (const [child, of] of this.#children) if (file === undefined || of === file) await this.end(child, signal);
  }

  /** The chain is away for so long, and comes back as it was. */
  async chainAway(milliseconds: number): Promise<void> {
    const comeBack = await this.stopChain();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await comeBack();
  }

  /** The chain is away until what this returns is called. */
  async stopChain(): Promise<() => Promise<void>> {
    const port = Number(new URL(this.running.url).port);
    const { chain } = this.running;
    // It keeps no events of blocks before its head: whoever follows it has them all before it goes.
    chain.setPaused(true);
    const last = chain.head.number;
    chain.finalize(last);
    await vi.waitFor(
      () => {
        if (this.#followed < last) throw new Error(`followed to block ${this.#followed}, the head is ${last}`);
      },
      { timeout: START_MS },
    );
    await this.running.stop();
    return async () => {
      this.running = await startChain(this.state, port);
    };
  }

  async close(): Promise<void> {
    this.#following.abort();
    await this.endDaemons('SIGKILL');
    await this.node.close();
    await this.farmer.close();
    await this.bus.close();
    await this.running.stop();
    await this.redis.stop();
    await rm(this.state, { recursive: true, force: true });
  }
}

function startChain(state: string, port: number): Promise<RunningDevChain> {
  // Finality later than clients look for their transaction's block; blocks often enough that lives end soon.
  const timing = { idleBlockMs: 150, finalityMs: 700 };
  return startDevChain({ host: ownAddress, port, log, state: join(state, 'chain'), timing, faults: true });
}

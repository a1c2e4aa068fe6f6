/**
 * A small grid for foreign clients: the development chain, and chaind, relay,
 * gateway and provisiond as the processes they are. The host behind provisiond
 * is the one of its own tests.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { ChainClient } from '../../../gateway/chain/client.ts';
import { type RunningDevChain, startDevChain } from '../../../gateway/chain/dev/start.ts';
import { redirectLibraryLog } from '../../../gateway/chain/library-log.ts';
import { Identity, type KeyType, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { TestHost } from '../../../provision/testing/host.ts';
import { end, start } from '../../bench/peers/child.ts';
import { Front } from './front.ts';

export const DOMAIN = 'relay.example';
const CHAIN_DEADLINE_MS = 30_000;
const GIB = 1024n ** 3n;
const place = (script: string): string => join(import.meta.dirname, '../../..', script);

export interface Member {
  readonly id: number;
  readonly identity: Identity;
  readonly keyFile: string;
}

export class Grid {
  readonly folder: string;
  readonly chain: RunningDevChain;
  readonly redis: TestRedis;
  readonly front: Front;
  /** Reads the chain; signs nothing. */
  readonly reader: ChainClient;
  #node: Member | undefined;
  #relay: ChildProcess | undefined;
  readonly #children: ChildProcess[] = [];
  readonly #ends: (() => Promise<unknown>)[] = [];
  #members = 0;

  private constructor(folder: string, chain: RunningDevChain, redis: TestRedis, front: Front) {
    this.folder = folder;
    this.chain = chain;
    this.redis = redis;
    this.front = front;
    this.reader = new ChainClient({ endpoints: [chain.url] });
  }

  static async start(): Promise<Grid> {
    redirectLibraryLog();
    const folder = await mkdtemp(join(tmpdir(), 'gn-go-'));
    const log = pino({ level: 'silent' });
    // The Go client refuses a chain whose last block is older than twelve seconds.
    const chain = await startDevChain({ host: '127.0.0.1', port: 0, log, timing: { idleBlockMs: 1000 } });
    const grid = new Grid(folder, chain, await startRedis(), await Front.open());
    try {
      await grid.#startNode();
      return grid;
    } catch (error) {
      await grid.close();
      throw error;
    }
  }

  /** The gateway's twin. */
  get node(): number {
    return this.#node?.id ?? 0;
  }

  /** A twin with money and a file with its secret; `known` has its relay and key on the chain already. */
  async member(keyType: KeyType, wish: { readonly known?: boolean } = {}): Promise<Member> {
    const secret = randomBytes(32).toString('hex');
    const identity = await Identity.fromSecret(secret, keyType);
    this.#members += 1;
    const keyFile = join(this.folder, `key-${this.#members}.json`);
    await writeKeyFile(keyFile, { keyType, secret });
    const id = await this.as(identity, async (chain) => {
      await chain.endow();
      if (wish.known === true) return chain.ensureTwin({ relay: DOMAIN, encryptionKey: identity.encryptionKey });
      await chain.acceptTerms();
      await chain.submit({ pallet: 'tfgridModule', method: 'createTwin', args: [null, null] });
      return (await chain.twinIdOf(identity.publicKey)) ?? 0;
    });
    return { id, identity, keyFile };
  }

  /** Work on the chain that `identity` signs. */
  async as<T>(identity: Identity, work: (chain: ChainClient) => Promise<T>): Promise<T> {
    const chain = await ChainClient.connect({
      endpoints: [this.chain.url],
      identity,
      deadlineMs: CHAIN_DEADLINE_MS,
    });
    try {
      return await work(chain);
    } finally {
      await chain.close();
    }
  }

  async startRelay(): Promise<void> {
    const listen = ['--listen', '127.0.0.1:0', '--domain', DOMAIN];
    const { child, ready } = await start(place('gateway/relay/main.ts'), [...this.#bus(), ...listen]);
    this.#relay = child;
    this.front.target = Number(ready.port);
  }

  /** The stand-alone peer for a twin of its own, with what local services answer. Ended by what it gives. */
  async startPeer(member: Member, redis: TestRedis, commands: readonly string[]): Promise<() => Promise<void>> {
    const { child } = await start(place('gateway/local/main.ts'), [
      ...['--relay', this.front.relay, '--substrate', this.chain.url, '--key-file', member.keyFile],
      ...['--redis', `unix://${redis.socket}`, '--state', join(this.folder, `peer-${member.id}`)],
      ...['--serve', commands.join(',')],
    ]);
    this.#children.push(child);
    return () => end(child);
  }

  /** Ends the relay as a crash would. */
  async killRelay(): Promise<void> {
    this.front.target = 0;
    if (this.#relay !== undefined) await end(this.#relay);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children, ...(this.#relay === undefined ? [] : [this.#relay])].map(end));
    for (const close of this.#ends) await close();
    await this.reader.close();
    await this.front.close();
    await this.chain.stop();
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  #bus(): string[] {
    return ['--broker', this.redis.broker, '--state', this.folder, '--log-level', 'info'];
  }

  async #startNode(): Promise<void> {
    const node = await this.member('ed25519', { known: true });
    this.#node = node;
    const farmer = await this.member('sr25519', { known: true });
    const farmId = await this.as(farmer.identity, (chain) => chain.createFarm('interop'));
    const resources = { cru: 8n, mru: 16n * GIB, sru: 100n * GIB, hru: 0n };
    await this.as(node.identity, (chain) => chain.createNode({ farmId, resources }));

    const servers = new TestHost(this.folder).serve(this.redis.broker, ['storage', 'network', 'flist', 'vmd']);
    this.#ends.push(...servers.map((server) => () => server.stop()));
    await Promise.all(servers.map((server) => server.start()));
    const run = async (script: string, ...flags: string[]): Promise<void> => {
      this.#children.push((await start(place(script), [...this.#bus(), ...flags])).child);
    };
    await run('gateway/chain/main.ts', '--chain', this.chain.url, '--key-file', node.keyFile);
    await Promise.all([this.startRelay(), run('provision/main.ts')]);
    await run('gateway/main.ts', '--relay', this.front.relay, '--key-file', node.keyFile);
  }
}

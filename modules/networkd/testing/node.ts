/**
 * A whole networkd for tests: its own network namespace as the machine, one
 * more as the world beyond the uplink, a private redis, a state folder.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { generatePrivateKey } from '../../wireguard/index.ts';
import { type Client, ZbusClient } from '../../zbus/index.ts';
import { startRedis, type TestRedis } from '../../zbus/testing/redis.ts';
import type { Infer } from '../../zbus/wire.ts';
import { type Network, network } from '../interface.ts';
import { parsePrefix, toIpNet } from '../plan/address.ts';
import { macOf } from '../plan/mac.ts';

const run = promisify(execFile);
const MODULE = new URL('..', import.meta.url).pathname;
const START_DEADLINE_MS = 20_000;

/** Addresses of the uplink: the world is .1, the machine .2. */
export const WORLD = '198.51.100.1';

export type NetworkRequest = Infer<typeof Network>;

/** A request for a network; keys are new each time. */
export function networkRequest(
  netid: string,
  changes: Partial<Record<'subnet' | 'range', string>> & Partial<NetworkRequest> = {},
): NetworkRequest {
  const { subnet = '10.20.2.0/24', range = '10.20.0.0/16', ...rest } = changes;
  return {
    NetworkIPRange: toIpNet(parsePrefix(range)),
    Subnet: toIpNet(parsePrefix(subnet)),
    WGPrivateKey: generatePrivateKey(),
    WGListenPort: 0,
    Peers: [],
    Mycelium: null,
    NetID: netid,
    ...rest,
  };
}

export class TestNode {
  /** Name of the namespace that stands for the machine; everything made is named after it. */
  readonly name = `gn${randomBytes(4).toString('hex')}`;
  readonly world = `${this.name}-world`;
  state = '';
  #redis: TestRedis | undefined;
  #daemon: ChildProcess | undefined;
  #bus: ZbusClient | undefined;
  #output = '';

  async start(): Promise<void> {
    await this.ip('netns', 'add', this.world);
    await this.makeMachine();
    this.state = await mkdtemp(join(tmpdir(), 'gridnode-net-'));
    this.#redis = await startRedis();
    this.#bus = new ZbusClient({ broker: this.#redis.broker, log: pino({ level: 'silent' }) });
  }

  /** The machine's namespace with its uplink; called again after the namespace was deleted, it is a machine started anew. */
  async makeMachine(): Promise<void> {
    await this.ip('netns', 'add', this.name);
    await this.ip('-n', this.world, 'link', 'del', 'dev', 'up0').catch(() => undefined);
    await this.ip('link', 'add', 'up0', 'netns', this.name, 'type', 'veth', 'peer', 'name', 'up0', 'netns', this.world);
    await this.ip('-n', this.name, 'link', 'set', 'lo', 'up');
    for (const [space, address] of [
      [this.world, `${WORLD}/24`],
      [this.name, '198.51.100.2/24'],
    ] as const) {
      await this.ip('-n', space, 'address', 'add', address, 'dev', 'up0');
      await this.ip('-n', space, 'link', 'set', 'up0', 'up');
    }
    await this.ip('-n', this.name, 'route', 'add', 'default', 'via', WORLD);
  }

  get network(): Client<typeof network> {
    return this.bus.of(network);
  }

  get bus(): ZbusClient {
    if (this.#bus === undefined) throw new Error('start the node first');
    return this.#bus;
  }

  /** Starts the daemon inside the machine's namespace and waits until it answers. */
  async startDaemon(options: { readonly flags?: string[]; readonly env?: NodeJS.ProcessEnv } = {}): Promise<void> {
    const daemon = spawn('nsenter', [...this.daemonArguments(this.state), ...(options.flags ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    this.#daemon = daemon;
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output += chunk;
      });
    }
    const giveUpAt = Date.now() + START_DEADLINE_MS;
    for (;;) {
      if (daemon.exitCode !== null || Date.now() > giveUpAt) throw new Error(`networkd did not start: ${this.#output}`);
      const ready = await this.network.Ready({}, { deadlineMs: 500 }).then(
        () => true,
        () => false,
      );
      if (ready) return;
      await sleep(20);
    }
  }

  /** Arguments of `nsenter` that run networkd in this machine. */
  daemonArguments(state: string): string[] {
    const where = [`--net=/run/netns/${this.name}`, '--', process.execPath, join(MODULE, 'main.ts')];
    return [...where, '--state', state, '--broker', this.#redis?.broker ?? ''];
  }

  async stopDaemon(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()));
    daemon.kill(signal);
    await Promise.race([ended, sleep(10_000)]);
    if (daemon.exitCode === null) daemon.kill('SIGKILL');
  }

  /** What the daemon has logged. */
  get log(): string {
    return this.#output;
  }

  async purge(): Promise<string> {
    return (await run(process.execPath, [join(MODULE, 'purge.ts'), '--state', this.state])).stdout;
  }

  /** Ends and removes everything, also after a failed start. */
  async stop(): Promise<void> {
    await this.stopDaemon();
    await this.#bus?.close();
    await this.#redis?.stop();
    if (this.state !== '') {
      await this.purge().catch(() => undefined);
      await rm(this.state, { recursive: true, force: true });
    }
    for (const name of await readdir('/run/netns').catch(() => [] as string[])) {
      if (name.startsWith(this.name))
        await this.ip('netns', 'del', name).catch(() => rm(`/run/netns/${name}`, { force: true }));
    }
  }

  ip(...args: string[]): Promise<string> {
    return run('ip', args, { timeout: 10_000 }).then(({ stdout }) => stdout);
  }

  /** Runs a program inside a namespace of this node: `''` is the machine, anything else a name networkd uses. */
  async inside(namespace: string, ...argv: string[]): Promise<string> {
    const name =
      namespace === '' ? this.name : namespace.startsWith(this.name) ? namespace : `${this.name}.${namespace}`;
    return (await run('nsenter', [`--net=/run/netns/${name}`, '--', ...argv], { timeout: 15_000 })).stdout;
  }

  /** Whether a namespace gets an echo from an address within two seconds. */
  ping(namespace: string, address: string): Promise<boolean> {
    return this.inside(namespace, 'busybox', 'ping', '-c', '1', '-W', '2', address).then(
      () => true,
      () => false,
    );
  }

  /**
   * A namespace that stands for a machine on a private tap: the tap is
   * replaced by a cable of the same name, so that all its rules apply.
   */
  async machine(netid: string, name: string, address: string, mac = macOf(name)): Promise<string> {
    const tap = await this.network.SetupPrivTap({ networkID: netid, name });
    const space = `${this.name}-vm-${name}`;
    await this.ip('netns', 'add', space);
    const gateway = address.replace(/\d+\/\d+$/, '1');
    await this.inside('', 'ip', 'link', 'del', 'dev', tap);
    await this.inside(
      '',
      'ip',
      'link',
      'add',
      tap,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'address',
      mac,
      'netns',
      space,
    );
    await this.inside('', 'ip', 'link', 'set', tap, 'master', `b-${netid}`, 'up');
    await this.ip('-n', space, 'link', 'set', 'eth0', 'up');
    await this.ip('-n', space, 'address', 'add', address, 'dev', 'eth0');
    await this.ip('-n', space, 'route', 'add', 'default', 'via', gateway);
    return space;
  }

  /** Everything that could leak: links, namespaces, rules, processes, state files. */
  async inventory(): Promise<string> {
    const links = JSON.parse(await this.inside('', 'ip', '-j', 'link')) as Array<{ ifname: string; ifindex: number }>;
    const rules = await this.inside('', 'nft', '-s', 'list', 'ruleset');
    const names = (await readdir('/run/netns')).filter((name) => name.startsWith(this.name)).sort();
    const folder = join(this.state, 'networkd');
    const files = (await readdir(folder, { recursive: true }).catch(() => [] as string[])).filter((file) =>
      file.includes('/'),
    );
    const tunnels = await this.#tunnels();
    return JSON.stringify(
      { links: links.map((link) => link.ifname).sort(), rules, names, files: files.sort(), tunnels },
      null,
      1,
    );
  }

  /** First names of the wireguard-go processes whose sockets are in this machine. */
  async #tunnels(): Promise<string[]> {
    const { ino } = await stat(`/run/netns/${this.name}`);
    const found: string[] = [];
    for (const pid of await readdir('/proc')) {
      const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (argv[0] !== 'wireguard-go') continue;
      const namespace = await stat(`/proc/${pid}/ns/net`).catch(() => undefined);
      if (namespace?.ino === ino) found.push(argv[2] ?? '');
    }
    return found.sort();
  }
}

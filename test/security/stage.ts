/** Redis, a chain module, a relay and a gateway as processes of their own, whose every word is kept. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeKeyFile } from '../../gateway/rmb/index.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { DOMAIN, NODE, secretOf } from '../bench/peers/twins.ts';

const READY_DEADLINE_MS = 60_000;

export class Program {
  readonly child: ChildProcess;
  /** All it wrote. */
  words = '';

  constructor(script: string, args: readonly string[]) {
    this.child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.words += text;
      });
    }
  }

  /** The line that says it is ready. */
  ready(): Promise<Readonly<Record<string, unknown>>> {
    return this.said('ready');
  }

  /** The first line with this message. */
  async said(message: string): Promise<Readonly<Record<string, unknown>>> {
    const giveUpAt = Date.now() + READY_DEADLINE_MS;
    for (;;) {
      const line = this.words.split('\n').find((one) => one.includes(`"msg":"${message}"`) && one.endsWith('}'));
      if (line !== undefined) return JSON.parse(line) as Record<string, unknown>;
      if (this.child.exitCode !== null || Date.now() > giveUpAt) throw new Error(`not '${message}': ${this.words}`);
      await sleep(20);
    }
  }

  get commandLine(): string {
    return readFileSync(`/proc/${this.child.pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  }

  get environment(): string {
    return readFileSync(`/proc/${this.child.pid}/environ`, 'latin1');
  }

  /** Memory in use, MiB. */
  get residentMiB(): number {
    const pages = Number(readFileSync(`/proc/${this.child.pid}/statm`, 'latin1').split(' ')[1]);
    return (pages * 4096) / 1024 / 1024;
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

export class Stage {
  readonly redis: TestRedis;
  readonly relay: Program;
  readonly gateway: Program;
  readonly port: number;
  /** `HOST:PORT` of the gateway's numbers. */
  readonly http: string;
  readonly #grid: Program;
  readonly #state: string;

  private constructor(
    parts: Pick<Stage, 'redis' | 'relay' | 'gateway' | 'port' | 'http'>,
    grid: Program,
    state: string,
  ) {
    this.redis = parts.redis;
    this.relay = parts.relay;
    this.gateway = parts.gateway;
    this.port = parts.port;
    this.http = parts.http;
    this.#grid = grid;
    this.#state = state;
  }

  static async start(): Promise<Stage> {
    const state = await mkdtemp(join(tmpdir(), 'gn-stage-'));
    const redis = await startRedis();
    const programs: Program[] = [];
    const run = (script: string, ...args: string[]): Program => {
      const program = new Program(join(import.meta.dirname, script), args);
      programs.push(program);
      return program;
    };
    try {
      await writeKeyFile(join(state, 'key.json'), { keyType: 'ed25519', secret: secretOf(NODE) });
      const grid = run('../bench/peers/grid.ts', redis.broker, 'ed25519');
      await grid.ready();
      const bus = ['--broker', redis.broker, '--state', state, '--log-level', 'trace'];
      const relay = run('../../gateway/relay/main.ts', ...bus, '--listen', '127.0.0.1:0', '--domain', DOMAIN);
      const port = Number((await relay.ready()).port);
      const flags = ['--relay', `ws://127.0.0.1:${port}`, '--key-file', join(state, 'key.json')];
      const gateway = run('../../gateway/main.ts', ...bus, ...flags, '--http', '127.0.0.1:0');
      const { port: numbers } = await gateway.said('metrics and health are served');
      const http = `127.0.0.1:${numbers}`;
      await gateway.ready();
      return new Stage({ redis, relay, gateway, port, http }, grid, state);
    } catch (error) {
      for (const program of programs) await program.end();
      await redis.stop();
      await rm(state, { recursive: true, force: true });
      throw error;
    }
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** A number of the gateway. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.http}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
  }

  async stop(): Promise<void> {
    for (const program of [this.gateway, this.relay, this.#grid]) await program.end();
    await this.redis.stop();
    await rm(this.#state, { recursive: true, force: true });
  }
}

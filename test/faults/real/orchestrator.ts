/** A node's provisiond, started by the test behind a tap in the place of the supervisor's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { supervisorOf } from '../../../cli/node/lifecycle.ts';
import { splitWords } from '../../../modules/zinit/words.ts';
import type { TestNode } from '../../system/test-node.ts';
import { Tap } from './tap.ts';

const AWAY_MS = 50;
const END_DEADLINE_MS = 10_000;

export class TappedOrchestrator {
  readonly tap: Tap;
  readonly #node: TestNode;
  readonly #words: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #log: number;
  #child: ChildProcess | undefined;
  #isOver = false;
  /** It is not started again while this is so. */
  isHeldBack = false;

  private constructor(node: TestNode, tap: Tap, words: readonly string[], env: Readonly<Record<string, string>>) {
    this.#node = node;
    this.tap = tap;
    this.#words = words;
    this.#env = env;
    this.#log = openSync(join(node.layout.state, 'log', 'provisiond.log'), 'a', 0o600);
  }

  static async start(node: TestNode): Promise<TappedOrchestrator> {
    const { layout } = node;
    const unit = parse(await readFile(join(layout.units, 'provisiond.yaml'), 'utf8')) as {
      readonly exec: string;
      readonly env: Readonly<Record<string, string>>;
    };
    const broker = layout.broker.replace('unix://', '');
    await node.zinit.stop('provisiond');
    const tap = await Tap.open(join(layout.state, 'tap.sock'), broker);
    const words = splitWords(unit.exec).map((word) => (word === layout.broker ? `unix://${tap.path}` : word));
    const orchestrator = new TappedOrchestrator(node, tap, words, unit.env);
    await orchestrator.#spawn();
    return orchestrator;
  }

  /** `kill -9`; it is started again a moment later. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  /** Lets it come back that was held back. */
  async release(): Promise<void> {
    this.isHeldBack = false;
    await this.#spawn();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    const child = this.#child;
    if (child !== undefined && this.#isAlive()) {
      child.kill('SIGTERM');
      await Promise.race([once(child, 'exit'), sleep(END_DEADLINE_MS)]);
      child.kill('SIGKILL');
    }
    await this.tap.close();
  }

  #isAlive(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async #spawn(): Promise<void> {
    const supervisor = await supervisorOf(this.#node.layout);
    if (supervisor === undefined) throw new Error('the node has no supervisor');
    // One at a time, whoever asks for it: two would write one journal.
    if (this.#isOver || this.isHeldBack || this.#isAlive()) return;
    const inside = ['--target', `${supervisor.pid}`, '--mount', '--net', '--root'];
    const child = spawn('nsenter', [...inside, ...this.#words], {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', this.#log, this.#log],
    });
    this.#child = child;
    child.on('exit', () => {
      setTimeout(() => {
        this.#spawn().catch(() => undefined);
      }, AWAY_MS);
    });
  }
}

/** The Go library's caller and server of the zbus benchmark, each a process of its own. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { buildGoPrograms, hasGo } from '../../interop/zbus/build.ts';
import { end, startProgram } from './child.ts';

export { hasGo };

export interface Run {
  /** Milliseconds of each call. */
  readonly latencies: readonly number[];
  readonly seconds: number;
}

export class GoBus {
  readonly #folder: string;
  readonly #children: readonly ChildProcess[];
  readonly #caller: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #interface: Interface;

  private constructor(folder: string, server: ChildProcess, caller: ChildProcess) {
    this.#folder = folder;
    this.#children = [server, caller];
    this.#caller = caller;
    this.#interface = createInterface({ input: caller.stdout as NodeJS.ReadableStream });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  /** A server with one worker, as every daemon of the existing software has it. */
  static async start(broker: string): Promise<GoBus> {
    const folder = await mkdtemp(join(tmpdir(), 'gn-bench-'));
    try {
      await buildGoPrograms(folder, 'bench');
      const server = await startProgram(join(folder, 'bench'), ['serve', broker, '1']);
      const caller = await startProgram(join(folder, 'bench'), ['call', broker]);
      return new GoBus(folder, server.child, caller.child);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async run(callers: number, milliseconds: number): Promise<Run> {
    this.#caller.stdin?.write(`${JSON.stringify({ module: 'go', callers, ms: milliseconds })}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the Go caller ended');
    const { seconds, latencies } = JSON.parse(value) as { seconds: number; latencies: number[] };
    return { seconds, latencies: latencies.map((microseconds) => microseconds / 1000) };
  }

  async stop(): Promise<void> {
    this.#interface.close();
    await Promise.all(this.#children.map(end));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

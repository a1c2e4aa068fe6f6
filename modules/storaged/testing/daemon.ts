/** Runs a daemon's real process for tests: ready when it says so, ended by its own pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 15_000;

export interface TestDaemon {
  readonly pid: number;
  /** Log lines so far, parsed. */
  readonly log: Record<string, unknown>[];
  /** Resolves when the process has ended, with its exit code. */
  readonly ended: Promise<number | null>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts `node main` with flags and waits for its `ready`; throws with its output when it ends before. */
export async function startDaemon(main: string, flags: Record<string, string>): Promise<TestDaemon> {
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child: ChildProcess = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const log: Record<string, unknown>[] = [];
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`not ready within ${START_DEADLINE_MS} ms: ${JSON.stringify(log)} ${stderr}`));
    }, START_DEADLINE_MS);
    ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${code} before it was ready: ${JSON.stringify(log)} ${stderr}`));
    }, reject);
    if (child.stdout === null) return;
    createInterface(child.stdout).on('line', (line) => {
      const entry = JSON.parse(line) as Record<string, unknown>;
      log.push(entry);
      if (entry.msg !== 'ready') return;
      clearTimeout(timer);
      resolve();
    });
  });
  await ready;
  return {
    pid: child.pid ?? 0,
    log,
    ended,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      const force = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
      await ended;
      clearTimeout(force);
    },
  };
}

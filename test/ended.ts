/** The end of a process of a test, waited for no longer than it may take. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const DEADLINE_MS = 30_000;

export type Exit = readonly [code: number | null, signal: NodeJS.Signals | null];

/** How a child ends. Throws, with what it is called, where it does not in time. */
export async function exitOf(child: ChildProcess, what: string, deadlineMs = DEADLINE_MS): Promise<Exit> {
  const { exitCode, signalCode } = child;
  if (exitCode !== null || signalCode !== null) return [exitCode, signalCode];
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    return (await once(child, 'exit', { signal })) as [number | null, NodeJS.Signals | null];
  } catch (error) {
    throw signal.aborted ? new Error(`${what} has not ended within ${deadlineMs} ms`, { cause: error }) : error;
  }
}

/** Ends a child by a signal. One that does not end in time is killed, and that throws. */
export async function end(child: ChildProcess, what: string, by: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = exitOf(child, `${what}, sent ${by},`);
  child.kill(by);
  try {
    await ended;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

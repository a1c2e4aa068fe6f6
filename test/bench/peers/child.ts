/** The processes a benchmark runs beside itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const READY_DEADLINE_MS = 30_000;

export interface Started {
  readonly child: ChildProcess;
  /** The line that said it is ready. */
  readonly ready: Readonly<Record<string, unknown>>;
}

/** Variables beside our own. */
type Environment = Readonly<Record<string, string>>;

/** Runs a script of ours until it is ready. */
export function start(script: string, args: readonly string[], env: Environment = {}): Promise<Started> {
  return startProgram(process.execPath, [script, ...args], env);
}

/** Runs a program until it writes a JSON line whose `msg` is `ready`, as every daemon does. */
export async function startProgram(file: string, args: readonly string[], env: Environment = {}): Promise<Started> {
  const name = file === process.execPath ? String(args[0]) : file;
  // Standard input stays open as long as this process lives, and a program may end with it.
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const deadline = AbortSignal.timeout(READY_DEADLINE_MS);
  let ready: Record<string, unknown> | undefined;
  try {
    for await (const line of createInterface({ input: child.stdout, signal: deadline })) {
      ready = JSON.parse(line) as Record<string, unknown>;
      if (ready.msg === 'ready') break;
    }
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${name} was not ready within ${READY_DEADLINE_MS} ms`, { cause: error });
  }
  if (ready?.msg === 'ready') {
    // After the line reader has ended, as it stops the stream: a pipe nobody reads fills up.
    child.stdout.resume();
    return { child, ready };
  }
  child.kill('SIGKILL');
  throw new Error(`${name} ended before it was ready${deadline.aborted ? ': out of time' : ''}`);
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

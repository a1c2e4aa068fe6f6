/** Runs a host program with a deadline: argument vectors only, bounded output. */
import { spawn } from 'node:child_process';

export interface RunOptions {
  /** Milliseconds after which the program is killed. */
  readonly deadlineMs: number;
  readonly input?: string | Uint8Array;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Not reached by a terminal's Ctrl-C: for what must end although a person is impatient. */
  readonly ownSession?: boolean;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** How long the output of a killed program is still read: a child of its own may hold it open for ever. */
const LAST_WORDS_MS = 250;
/** Bytes of stdout and of stderr that are kept; a program that prints more is killed. */
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

/** A host program that did not succeed. The text carries its own words. */
export class HostCommandError extends Error {
  override readonly name = 'HostCommandError';
  readonly file: string;
  readonly args: readonly string[];
  readonly exitCode: number | null;
  readonly reason: 'exit' | 'deadline' | 'aborted' | 'missing' | 'output';
  readonly stderr: string;

  constructor(
    file: string,
    args: readonly string[],
    reason: HostCommandError['reason'],
    exitCode: number | null,
    stderr: string,
    deadlineMs: number,
  ) {
    const what = {
      exit: `ended with status ${exitCode}`,
      deadline: `did not end within ${deadlineMs} ms and was killed`,
      aborted: 'was aborted',
      missing: 'is not installed',
      output: `printed more than ${OUTPUT_LIMIT_BYTES} bytes and was killed`,
    }[reason];
    const words = stderr.trim().slice(-2000);
    super(`${file} ${args.slice(0, 3).join(' ')} ${what}${words === '' ? '' : `: ${words}`}`);
    this.file = file;
    this.args = args;
    this.reason = reason;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/** Runs `file` with `args`; resolves with what it printed, throws `HostCommandError` otherwise. */
export function run(file: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: options.ownSession ?? false,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    // Without a free descriptor there are no streams, only the error that follows.
    if (child.stdout === undefined) {
      child.once('error', (error) => {
        reject(new HostCommandError(file, args, 'exit', null, error.message, options.deadlineMs));
      });
      return;
    }
    let stopped: HostCommandError['reason'] | undefined;
    let lastWords: NodeJS.Timeout | undefined;
    const stop = (reason: HostCommandError['reason']): void => {
      if (stopped !== undefined) return;
      stopped = reason;
      child.kill('SIGKILL');
      lastWords = setTimeout(() => {
        for (const stream of child.stdio) stream?.destroy();
        fail(reason, null, stderr.text());
      }, LAST_WORDS_MS);
    };
    const timer = setTimeout(() => stop('deadline'), options.deadlineMs);
    const onAbort = (): void => stop('aborted');
    if (options.signal?.aborted) onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });

    const collect = (stream: NodeJS.ReadableStream): { readonly text: () => string } => {
      const chunks: Buffer[] = [];
      let size = 0;
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > OUTPUT_LIMIT_BYTES) stop('output');
        else chunks.push(chunk);
      });
      return { text: () => Buffer.concat(chunks).toString('utf8') };
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    // A program may end before it has read its input; its exit status says so.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');

    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      clearTimeout(lastWords);
      options.signal?.removeEventListener('abort', onAbort);
      settle();
    };
    const fail = (reason: HostCommandError['reason'], exitCode: number | null, words: string): void =>
      finish(() => reject(new HostCommandError(file, args, reason, exitCode, words, options.deadlineMs)));
    child.on('error', (error: NodeJS.ErrnoException) => {
      fail(error.code === 'ENOENT' ? 'missing' : 'exit', null, error.message);
    });
    child.on('close', (code) => {
      if (stopped !== undefined) fail(stopped, code, stderr.text());
      else if (code !== 0) fail('exit', code, stderr.text());
      else finish(() => resolve({ stdout: stdout.text(), stderr: stderr.text() }));
    });
  });
}

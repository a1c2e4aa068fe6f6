/** Starts the few host programs this room needs, in a namespace where asked; secrets travel by stdin only. */
import { spawn } from 'node:child_process';

const DEADLINE_MS = 10_000;
const OUTPUT_LIMIT_BYTES = 1024 * 1024;

/** An argument vector that runs inside a network namespace. `nsenter` keeps the caller's mounts. */
export function inNamespace(namespace: string | undefined, argv: readonly string[]): readonly string[] {
  return namespace === undefined ? argv : ['nsenter', `--net=${namespace}`, '--', ...argv];
}

/** Runs a program to its end; resolves with its stdout, rejects with its own words. */
export function command(argv: readonly string[], input = ''): Promise<string> {
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    // Without a free descriptor there are no streams, only the error that follows.
    if (child.stdout === undefined) {
      child.once('error', reject);
      return;
    }
    let stdout = '';
    let stderr = '';
    // Its own child may hold its output open, so the kill alone would not end the wait.
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      for (const stream of child.stdio) stream?.destroy();
      reject(new Error(`${argv.slice(0, 6).join(' ')} did not end within ${DEADLINE_MS} ms and was killed`));
    }, DEADLINE_MS);
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
      if (stdout.length > OUTPUT_LIMIT_BYTES) child.kill('SIGKILL');
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-4000);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(stdout);
      else reject(new Error(`${argv.slice(0, 6).join(' ')} ended with status ${code}: ${stderr.trim()}`));
    });
  });
}

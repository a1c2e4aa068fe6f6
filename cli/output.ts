/** What becomes of a command's output when nobody reads it, or when there is no more. */
import { closeSync, fstatSync, openSync } from 'node:fs';

const STDOUT = 1;

/** Calls `react` when a write finds that the reader of standard output or error has gone, as `head` does. */
export function onReaderGone(react: () => void): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      react();
    });
  }
}

/** Ends standard output where it is a pipe: its reader hears of the end although this process goes on. */
export function endOutput(): void {
  const kind = fstatSync(STDOUT);
  if (!kind.isFIFO() && !kind.isSocket()) return;
  closeSync(STDOUT);
  // The lowest number that is free is given: nothing that is opened later becomes standard output.
  const place = openSync('/dev/null', 'w');
  if (place !== STDOUT) throw new Error(`standard output became descriptor ${place}`);
}

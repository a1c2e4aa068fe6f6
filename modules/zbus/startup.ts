/** What a program that has finished starting gives back: half its heap is what loading left behind. */
import { flushCompileCache } from 'node:module';

/** Milliseconds of calm after which nothing that was only needed for loading is in use any more. */
const CALM_MS = 1_500;

/** A heap of more than that is full of work: what loading left is little of it, and a collection takes long. */
const SMALL_BYTES = 48 * 1024 ** 2;

/**
 * Soon after the call writes the compile cache, so that the next start is a
 * short one even after a crash, and returns a small heap's unused pages to the
 * system. The second needs `--expose-gc`; without it V8 decides by itself.
 */
export function finishStartup(): void {
  setTimeout(() => {
    flushCompileCache();
    if (process.memoryUsage().heapUsed > SMALL_BYTES) return;
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, CALM_MS).unref();
}

/** What a program that has finished starting gives back: half its heap is what loading left behind. */
import { flushCompileCache } from 'node:module';

/** Milliseconds of calm after which nothing that was only needed for loading is in use any more. */
const CALM_MS = 1_500;

/**
 * Soon after the call writes the compile cache, so that the next start is a
 * short one even after a crash, and returns the heap's unused pages to the
 * system. The second needs `--expose-gc`; without it V8 decides by itself.
 */
export function finishStartup(): void {
  setTimeout(() => {
    flushCompileCache();
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, CALM_MS).unref();
}

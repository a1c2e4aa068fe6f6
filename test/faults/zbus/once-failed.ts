/** Interleavings that once broke a promise of the bus; every run begins with them. */
import type { Step } from './steps.ts';

interface OnceFailed {
  /** What happened then. */
  readonly found: string;
  readonly steps: readonly Step[];
}

export const onceFailed: readonly OnceFailed[] = [];

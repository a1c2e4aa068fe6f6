/** Interleavings that once broke a promise of the bus; every run begins with them. */
import type { Step } from './steps.ts';

interface OnceFailed {
  /** What happened then. */
  readonly found: string;
  readonly steps: readonly Step[];
}

export const onceFailed: readonly OnceFailed[] = [
  {
    found: 'a connection that the broker still held took a call, and nobody was left to see it',
    steps: [{ do: 'orphan', whose: 'server', ms: 9 }],
  },
  {
    found: 'the same after a call, with a second connection that ended meanwhile',
    steps: [
      { do: 'call', turn: 'key', key: 0, ms: 0, deadlineMs: 600, cancelMs: 12 },
      { do: 'wait', ms: 5 },
      { do: 'orphan', whose: 'server', ms: 8 },
      { do: 'deafen', whose: 'server', ms: 12 },
    ],
  },
  {
    found: 'the driver subscribed anew, was cut once more, and its rejection ended the process',
    steps: [
      { do: 'cut', whose: 'server', ms: 0 },
      { do: 'wait', ms: 14 },
      { do: 'drop-connections' },
      { do: 'wait', ms: 14 },
      { do: 'deafen', whose: 'server', ms: 3 },
      { do: 'wait', ms: 14 },
      { do: 'drop-connections' },
    ],
  },
];

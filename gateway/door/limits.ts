/**
 * What the door lets through, in numbers. One definition is the operator's file
 * (`--limits FILE`), its check, the defaults, and what `zos.limits.get` tells.
 */
import { z } from 'zod';

const KiB = 1024;
const MiB = 1024 * KiB;

const limit = (standard: number, least: number, most: number, meaning: string) =>
  z.int().min(least).max(most).default(standard).describe(meaning);

const shape = z.strictObject({
  sizeBytes: limit(2 * MiB, KiB, 16 * MiB, "bytes of one request's envelope"),
  // The largest deployment is 1 MiB of JSON, and encryption adds 28 bytes.
  payloadBytes: limit(1280 * KiB, KiB, 16 * MiB, "bytes of one request's payload, as sent"),
  lifetimeSeconds: limit(3600, 1, 3600, 'seconds a request may ask to live'),
  aheadSeconds: limit(60, 1, 3600, "seconds the sender's clock may be ahead"),
  replayEntries: limit(200_000, 1, 2_000_000, 'unexpired requests remembered, in all'),
  replayEntriesPerTwin: limit(20_000, 1, 2_000_000, 'unexpired requests remembered, of one twin'),
  ratePerSecond: limit(50, 1, 100_000, 'requests a second of one twin'),
  rateBurst: limit(400, 1, 100_000, 'requests of one twin at once after a pause'),
  ratePerSecondInAll: limit(10_000, 1, 1_000_000, 'requests a second in all'),
  rateBurstInAll: limit(10_000, 1, 1_000_000, 'requests in all at once after a pause'),
  concurrencyPerTwin: limit(256, 1, 10_000, 'requests running, of one twin'),
  concurrency: limit(768, 1, 10_000, 'requests running, in all'),
  bytesInAll: limit(48 * MiB, KiB, 4096 * MiB, 'bytes of all requests running'),
  // Above the frames that come out of one read of a socket.
  lookups: limit(512, 1, 10_000, 'twins looked up at once'),
  overloadWaitMs: limit(10, 1, 10_000, 'milliseconds requests may take to pass the door under a load without end'),
  overloadIntervalMs: limit(200, 10, 60_000, 'milliseconds over which that is judged'),
  tellPerSecond: limit(20, 1, 1000, 'refusals a second told to one twin that was not verified yet'),
  tellBurst: limit(40, 1, 1000, 'refusals told to one twin at once after a pause'),
  tellPerSecondInAll: limit(300, 1, 10_000, 'refusals a second told in all'),
});

/** Of one twin, and of all together: the first may not be above the second. */
const pairs = [
  ['payloadBytes', 'sizeBytes'],
  ['replayEntriesPerTwin', 'replayEntries'],
  ['ratePerSecond', 'ratePerSecondInAll'],
  ['rateBurst', 'rateBurstInAll'],
  ['concurrencyPerTwin', 'concurrency'],
  ['sizeBytes', 'bytesInAll'],
  ['tellPerSecond', 'tellPerSecondInAll'],
] as const;

export const doorLimits = shape.superRefine((limits, context) => {
  for (const [one, all] of pairs) {
    if (limits[one] <= limits[all]) continue;
    context.addIssue({
      code: 'custom',
      path: [one],
      message: `is ${limits[one]}, above ${all}, which is ${limits[all]}`,
    });
  }
});

export type DoorLimits = Readonly<z.output<typeof doorLimits>>;

export const DEFAULT_DOOR_LIMITS: DoorLimits = doorLimits.parse({});

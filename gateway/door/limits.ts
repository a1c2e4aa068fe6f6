/** What the door lets through, in numbers. */
export interface DoorLimits {
  /** Bytes of one request's envelope. */
  readonly sizeBytes: number;
  /** Seconds a request may ask to live. */
  readonly lifetimeSeconds: number;
  /** Seconds the sender's clock may be ahead. */
  readonly aheadSeconds: number;
  /** Unexpired requests remembered, in all and of one twin. */
  readonly replayEntries: number;
  readonly replayEntriesPerTwin: number;
  /** Requests a second of one twin, and how many at once after a pause. */
  readonly ratePerSecond: number;
  readonly rateBurst: number;
  /** Requests running, of one twin and in all. */
  readonly concurrencyPerTwin: number;
  readonly concurrency: number;
}

export const DEFAULT_DOOR_LIMITS: DoorLimits = {
  sizeBytes: 2 * 1024 * 1024,
  lifetimeSeconds: 3600,
  aheadSeconds: 60,
  replayEntries: 200_000,
  replayEntriesPerTwin: 20_000,
  ratePerSecond: 50,
  rateBurst: 200,
  concurrencyPerTwin: 32,
  concurrency: 256,
};

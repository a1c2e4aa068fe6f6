/** Bounds of the local interface. */
export interface LocalLimits {
  /** Messages of one queue that are worked on at once, and their bytes. */
  readonly atOnce: number;
  readonly bytesAtOnce: number;
  /** Messages of a list that the peer writes; the rest of its old end is cut off, or the message refused. */
  readonly listMessages: number;
  /** Bytes of a service's list. */
  readonly listBytes: number;
  /** Seconds an answer waits for its client. */
  readonly returnSeconds: number;
  /** Requests of local clients whose answers are waited for. */
  readonly askedRequests: number;
  /** Requests of other twins that services have not answered, in all and of one twin. */
  readonly servedRequests: number;
  readonly servedRequestsPerTwin: number;
}

export const DEFAULT_LOCAL_LIMITS: LocalLimits = {
  atOnce: 128,
  bytesAtOnce: 32 * 1024 * 1024,
  listMessages: 10_000,
  listBytes: 64 * 1024 * 1024,
  returnSeconds: 3600,
  askedRequests: 20_000,
  servedRequests: 10_000,
  servedRequestsPerTwin: 1000,
};

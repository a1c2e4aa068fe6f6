/** Bounds on what a flist may ask of a host. */
export interface ReadLimits {
  /** Bytes of the flist file. */
  readonly fileBytes: number;
  readonly entries: number;
  /** Bytes of all files together. */
  readonly treeBytes: number;
}

export const DEFAULT_LIMITS: ReadLimits = {
  fileBytes: 64 * 1024 ** 2,
  entries: 1_000_000,
  treeBytes: 64 * 1024 ** 3,
};

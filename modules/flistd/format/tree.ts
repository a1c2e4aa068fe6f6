/** What a flist describes: a directory tree, where its blocks are, and labels. */

export type EntryKind = 'directory' | 'file' | 'link' | 'block-device' | 'character-device' | 'fifo' | 'socket';

export interface FlistEntry {
  /** Path below the root without a leading slash; the root itself is the empty string. */
  readonly path: string;
  readonly kind: EntryKind;
  /** Permission bits with set-user-id, set-group-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Device number of a device, as `st_rdev`. */
  readonly rdev: number;
  /** Target of a link. */
  readonly target?: string;
  /** A file's blocks in order: 32 bytes id, then 32 bytes key, each. */
  readonly blocks?: Buffer;
}

/** A store and the block ids it holds: first byte from `start` to `end`, both included. */
export interface Route {
  readonly start: number;
  readonly end: number;
  readonly url: string;
}

export interface Flist {
  /** Parents before children, children ordered by name. */
  readonly entries: readonly FlistEntry[];
  readonly routes: readonly Route[];
  readonly tags: ReadonlyMap<string, string>;
  /** Sum of the sizes of all files, bytes. */
  readonly bytes: number;
  readonly blockCount: number;
}

export const TYPE_MASK = 0o170000;

const KINDS: ReadonlyMap<number, EntryKind> = new Map([
  [0o040000, 'directory'],
  [0o100000, 'file'],
  [0o120000, 'link'],
  [0o060000, 'block-device'],
  [0o020000, 'character-device'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
]);

/** The kind of file that `st_mode` names. */
export function kindOf(mode: number): EntryKind | undefined {
  return KINDS.get(mode & TYPE_MASK);
}

/** Names order by their bytes, so that the same tree always gives the same flist. */
export function byName(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

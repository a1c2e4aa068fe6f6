/** What flistd's service needs of a host: trees of flists by their addresses, and places to mount them. */

/** The tree of a flist. */
export interface FlistTree {
  readonly path: string;
  /** SHA-256 that stands for the flist's content. */
  readonly sha256: string;
  /** Its address as it may be shown. */
  readonly shown: string;
  /** Whether it was at hand already. */
  readonly kept: boolean;
}

export interface FlistTrees {
  /**
   * Runs `use` with the tree of the flist at an address, which stays at hand
   * meanwhile. With `known`, the hash it was mounted with before, it is that very
   * content as long as that is still there.
   */
  with<T>(
    url: string,
    known: string | undefined,
    signal: AbortSignal,
    use: (tree: FlistTree) => Promise<T>,
  ): Promise<T>;
  /** Throws for what can be no flist's address. */
  check(url: string): void;
  /** MD5 of the flist at an address. */
  hash(url: string, signal: AbortSignal): Promise<string>;
  /** MD5 of a flist whose tree is at hand. */
  md5(sha256: string): string | undefined;
}

export interface FlistMount {
  readonly path: string;
  /** SHA-256 of the flist file. */
  readonly sha256: string | undefined;
  readonly readOnly: boolean;
  /** Folder that holds what was written, of a writable mount. */
  readonly volume: string | undefined;
}

export interface FlistMounts {
  path(name: string): string;
  find(name: string): FlistMount | undefined;
  mountReadOnly(name: string, tree: FlistTree): Promise<string>;
  /** A writable view: reads come from the tree, writes go to `volume`, a folder on a pool. */
  mountWritable(name: string, tree: FlistTree, volume: string): Promise<string>;
  /** Unmounts and removes the mount point; nothing to do is fine. */
  unmount(name: string): Promise<void>;
  /** Names that have a mount point or are mounted, whoever did it. */
  names(): string[];
}

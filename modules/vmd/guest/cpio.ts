/** Writer of the "newc" cpio format that the kernel unpacks an initramfs from. */

export interface CpioEntry {
  /** Path inside the archive without a leading slash. */
  readonly path: string;
  readonly kind: 'directory' | 'file' | 'link' | 'character';
  /** Permission bits. */
  readonly mode: number;
  /** Content of a file, target of a link. */
  readonly data?: Uint8Array;
  /** Major and minor number of a character device. */
  readonly device?: readonly [number, number];
}

const TYPE_BITS = { directory: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 } as const;

/** The archive, the same bytes for the same entries: owner root, times zero, numbered in order. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => {
    append(parts, entry, index + 1);
  });
  append(parts, { path: 'TRAILER!!!', kind: 'file', mode: 0 }, 0, 0);
  return Buffer.concat(parts);
}

function append(parts: Buffer[], entry: CpioEntry, inode: number, typeBits: number = TYPE_BITS[entry.kind]): void {
  const data = entry.data ?? new Uint8Array();
  const name = Buffer.from(`${entry.path}\0`, 'utf8');
  const [major, minor] = entry.device ?? [0, 0];
  const fields = [
    inode,
    typeBits | entry.mode,
    0, // uid
    0, // gid
    entry.kind === 'directory' ? 2 : 1,
    0, // mtime
    data.length,
    0, // device of the file system, major and minor
    0,
    major,
    minor,
    name.length,
    0, // checksum, unused in this format
  ];
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`, 'latin1');
  parts.push(header, name, padding(header.length + name.length), Buffer.from(data), padding(data.length));
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}

/** The kernel's mount table, read without starting a program. */
import { readFileSync } from 'node:fs';

export interface Mount {
  /** Path inside the source file system that is the root of this mount. */
  readonly root: string;
  /** Where it is mounted. */
  readonly target: string;
  /** Options of this mount, as `ro`. */
  readonly options: readonly string[];
  readonly type: string;
  /** Device or name that was mounted. */
  readonly source: string;
  /** Options of the file system, as `upperdir=…`. */
  readonly superOptions: readonly string[];
}

/** The kernel writes blank, tab, newline and backslash as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Splits at commas that are not escaped by a backslash. */
function splitOptions(text: string): string[] {
  return text.split(/(?<!\\),/).map((option) => option.replaceAll('\\,', ','));
}

/** Parses `/proc/<pid>/mountinfo` (proc(5)); lines in mount order. */
export function parseMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [left, right] = line.split(' - ');
    if (left === undefined || right === undefined) continue;
    const fields = left.split(' ');
    const [type, source, superOptions] = right.split(' ');
    mounts.push({
      root: unescapeOctal(fields[3] ?? ''),
      target: unescapeOctal(fields[4] ?? ''),
      options: (fields[5] ?? '').split(','),
      type: type ?? '',
      source: unescapeOctal(source ?? ''),
      superOptions: splitOptions(unescapeOctal(superOptions ?? '')),
    });
  }
  return mounts;
}

/** All mounts of this process's mount namespace, oldest first. */
export function listMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The uppermost mount at exactly this path; the path must be real (no links). */
export function mountAt(path: string, mounts: readonly Mount[] = listMounts()): Mount | undefined {
  return mounts.findLast((mount) => mount.target === path);
}

/** Mounts at or below a folder, in the order in which they can be unmounted. */
export function mountsBelow(folder: string, mounts: readonly Mount[] = listMounts()): Mount[] {
  return mounts.filter((mount) => mount.target === folder || mount.target.startsWith(`${folder}/`)).reverse();
}

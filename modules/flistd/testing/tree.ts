/** Trees for tests: one with everything a flist can hold, and a listing to compare two trees by. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed: string): Buffer {
  const parts: Buffer[] = [];
  let block = createHash('sha512').update(seed).digest();
  for (let size = 0; size < length; size += block.length) {
    parts.push(block);
    block = createHash('sha512').update(block).digest();
  }
  return Buffer.concat(parts).subarray(0, length);
}

/** Makes a small root file system with odd names, modes, owners, times and links. */
export function makeTree(root: string): void {
  mkdirSync(join(root, 'etc/deep/er'), { recursive: true });
  mkdirSync(join(root, 'bin'));
  mkdirSync(join(root, 'empty'));
  mkdirSync(join(root, 'tmp'));
  writeFileSync(join(root, 'etc/hostname'), 'vm\n');
  writeFileSync(join(root, 'etc/shadow'), 'root:*\n');
  writeFileSync(join(root, 'etc/deep/er/nothing'), '');
  writeFileSync(join(root, 'bin/su'), noise(70_000, 'su'));
  writeFileSync(join(root, 'bin/big'), noise(1_300_000, 'big'));
  writeFileSync(join(root, 'bin/exact'), noise(1_048_576, 'exact'));
  writeFileSync(join(root, 'zeros'), Buffer.alloc(2_000_000));
  writeFileSync(join(root, 'a name with blanks, commas: and ünïcode \\ "quotes"'), 'odd');
  symlinkSync('/etc/hostname', join(root, 'absolute'));
  symlinkSync('../../../../../../etc/passwd', join(root, 'etc/outside'));
  symlinkSync('dangling', join(root, 'loop'));
  chmodSync(join(root, 'etc/shadow'), 0o640);
  chownSync(join(root, 'etc/shadow'), 0, 42);
  chownSync(join(root, 'bin/su'), 1234, 0);
  chmodSync(join(root, 'bin/su'), 0o4755);
  chmodSync(join(root, 'tmp'), 0o1777);
  lchownSync(join(root, 'loop'), 1000, 1000);
  lutimesSync(join(root, 'loop'), 1_000_000_000, 1_000_000_000);
  utimesSync(join(root, 'etc/hostname'), 1_234_567_890, 1_234_567_890);
  utimesSync(join(root, 'etc/deep'), 1_111_111_111, 1_111_111_111);
  utimesSync(root, 1_600_000_000, 1_600_000_000);
}

/** One line for each entry: path, mode, owner, time in seconds, and a hash of the content or the target. */
export function listTree(root: string, path = ''): string[] {
  const lines: string[] = [];
  const full = join(root, path);
  const stats = lstatSync(full);
  const content = stats.isSymbolicLink()
    ? readlinkSync(full)
    : stats.isFile()
      ? createHash('sha256').update(readFileSync(full)).digest('hex')
      : '';
  lines.push(
    [path, stats.mode.toString(8), stats.uid, stats.gid, Math.floor(stats.mtimeMs / 1000), content].join(' | '),
  );
  if (stats.isDirectory()) {
    for (const name of readdirSync(full).sort()) lines.push(...listTree(root, join(path, name)));
  }
  return lines;
}

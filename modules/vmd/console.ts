/**
 * A machine's console on disk: two files of bounded size. A process of its
 * own reads QEMU's pipe, so nothing is lost and nothing grows while vmd is down.
 */
import { type FileHandle, open } from 'node:fs/promises';

/** Size at which the current file becomes the older one; both together are the bound. */
export const CONSOLE_LIMIT_BYTES = 4 * 1024 * 1024;
/** What `Logs` answers with, from the grid's interface. */
export const LOG_TAIL_BYTES = 2048;
export const NO_LOGS = 'no logs available';

/**
 * Arguments: bound, file, pipe. Waits for QEMU to open the pipe and ends with
 * it. What cannot be written, as on a full disk, is thrown away: a guest must
 * not stall on its console. A serial port gives single bytes, so the reader
 * lets some gather in the pipe.
 */
const READER = `
my ($limit, $file, $pipe) = @ARGV;
umask 077;
open(my $in, '<', $pipe) or exit 1;
my $most = $limit < 65536 ? $limit : 65536;
my ($out, $size);
while (1) {
  my $count = sysread($in, my $bytes, $most);
  next if !defined($count) && $!{EINTR};
  last if !$count;
  if (!$out) { open($out, '>>', $file) or next; $size = -s $out; }
  if ($size + $count > $limit) {
    rename($file, "$file.0");
    open($out, '>>', $file) or next;
    $size = 0;
  }
  my $written = syswrite($out, $bytes);
  $size += $written if defined $written;
  select(undef, undef, undef, 0.01) if $count < 4096;
}
`;

/** Debian's base system always has it; it takes a tenth of the memory that Node would. */
export const CONSOLE_READER = '/usr/bin/perl';

/** Arguments of the process that moves what `pipe` gives into `file`. */
export function consoleReaderArguments(
  file: string,
  pipe: string,
  limitBytes: number = CONSOLE_LIMIT_BYTES,
): readonly string[] {
  return ['-e', READER, '--', String(limitBytes), file, pipe];
}

/** The last `bytes` of the console, the older file included; `undefined` where there is none. */
export async function consoleTail(file: string, bytes: number): Promise<string | undefined> {
  const current = await tailOf(file, bytes);
  const missing = bytes - (current?.length ?? 0);
  const older = missing > 0 ? await tailOf(`${file}.0`, missing) : undefined;
  if (current === undefined && older === undefined) return undefined;
  return Buffer.concat([older ?? Buffer.alloc(0), current ?? Buffer.alloc(0)]).toString('utf8');
}

async function tailOf(path: string, bytes: number): Promise<Buffer | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  } finally {
    await file?.close();
  }
}

/** Log text for an error message: no control characters but line ends. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, '').trim();
}

/** What the commands for envelopes and tokens read: a file, standard input or the argument itself; and twins' keys. */
import { readFile, stat } from 'node:fs/promises';
import { bytesOfHex, type TwinKey } from '../../gateway/rmb/index.ts';
import { CliError } from '../command.ts';

/** More than the largest message in hex. */
const MAX_BYTES = 40 * 1024 * 1024;

/** The bytes of a file or of standard input (`-`); `undefined` where there is no such file. */
export async function readInput(name: string): Promise<Buffer | undefined> {
  if (name === '-') return await readStandardInput();
  try {
    const { size } = await stat(name);
    if (size > MAX_BYTES) throw new CliError(`${name} has ${size} bytes, more than a message can`);
    return await readFile(name);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    // What is no file name at all may be hex or a token.
    if (code === 'ENOENT' || code === 'ENAMETOOLONG' || code === 'ENOTDIR') return undefined;
    throw unreadable(name, code);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'you may not read it',
};

/** What a person is told of a file that cannot be read, by the system's code. */
export function unreadable(name: string, code: string | undefined): CliError {
  return new CliError(`cannot read ${name}: ${REASONS[code ?? ''] ?? code}`);
}

async function readStandardInput(): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of process.stdin) {
    size += (part as Buffer).length;
    if (size > MAX_BYTES) throw new CliError(`standard input has more than ${MAX_BYTES} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

/** Hex digits, with or without `0x` and white space; `undefined` for anything else. */
export function readHex(text: string): Uint8Array | undefined {
  const digits = text.replaceAll(/\s+/g, '').replace(/^0x/i, '');
  return digits === '' ? undefined : bytesOfHex(digits);
}

/** Twin ids and keys of `17=ed25519:HEX` options. */
export function readTwinKeys(options: readonly string[]): Map<number, TwinKey> {
  const keys = new Map<number, TwinKey>();
  for (const option of options) {
    const [, twin, keyType, digits] = /^(\d{1,10})=(ed25519|sr25519):(?:0x)?([0-9a-fA-F]{64})$/.exec(option) ?? [];
    const account = digits === undefined ? undefined : bytesOfHex(digits);
    if (account === undefined || (keyType !== 'ed25519' && keyType !== 'sr25519')) {
      throw new CliError(
        `--twin-key ${option}: write TWIN=ed25519:HEX or TWIN=sr25519:HEX, the 64 hex digits being the twin's account`,
      );
    }
    keys.set(Number(twin), { keyType, account });
  }
  return keys;
}

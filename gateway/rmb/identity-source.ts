/** Where a program takes its secret from: a private file, a variable or an open descriptor; never its arguments. */
import { constants, createReadStream, fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { writeFileAtomic } from '../../modules/host/files.ts';
import { Identity, KeyError, keyTypes } from './keys.ts';

/** Flags that say where the secret is; a program takes one of them. */
export const identityOptions = ['key-file', 'key-env', 'key-fd'] as const;
export type IdentityOptions = { readonly [K in (typeof identityOptions)[number]]?: string | undefined };

const WAYS = 'give one of --key-file FILE, --key-env NAME, --key-fd NUMBER';
const FORM = '{"keyType":"ed25519"|"sr25519","secret":"words or hex seed"}, or ed25519:SECRET, or sr25519:SECRET';
const MAX_BYTES = 4096;
const READ_DEADLINE_MS = 10_000;
/** BIP39 words are at least as many. */
const FEWEST_WORDS = 12;

const KeyFile = z.strictObject({ keyType: z.enum(keyTypes), secret: z.string().min(1) });
export type KeyFile = z.infer<typeof KeyFile>;

/**
 * The secret that one of the flags leads to. A variable is gone from
 * `process.env` afterwards, a descriptor is closed: no child inherits them.
 * Throws `KeyError`, which never repeats what may be a secret.
 */
export async function readKey(options: IdentityOptions): Promise<KeyFile> {
  const given = identityOptions.filter((name) => options[name] !== undefined);
  const [name, ...more] = given;
  if (name === undefined || more.length > 0) throw new KeyError(`where is the key? ${WAYS}`);
  const value = options[name] ?? '';
  if (looksSecret(value)) throw secretInArguments(`--${name}`);
  if (name === 'key-file') return parseKey(value, await readPrivateFile(value));
  if (name === 'key-env') return parseKey(`the variable ${value}`, takeVariable(value));
  return parseKey(`descriptor ${value}`, await readDescriptor(value));
}

/** The identity of the secret that one of the flags leads to. Throws `KeyError`. */
export async function readIdentity(options: IdentityOptions): Promise<Identity> {
  const { secret, keyType } = await readKey(options);
  return Identity.fromSecret(secret, keyType);
}

/** The identity of a key file. Refuses files that others on the machine may read or change. */
export async function readKeyFile(path: string): Promise<Identity> {
  return readIdentity({ 'key-file': path });
}

/** Writes a key file only its owner can read. */
export async function writeKeyFile(path: string, key: KeyFile): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(KeyFile.parse(key))}\n`, 0o600);
}

const SECRET_FLAG = /^(-m|--(key|secret|seed|mnemonics?|words|phrase|private-key|secret-key))(=|$)/;

/**
 * Refuses a command line that carries a secret, before anything reads it: every
 * user of the machine sees arguments. `publicHex` names flags whose values are
 * 64 hex digits and no secret. Throws `KeyError`.
 */
export function refuseSecretArguments(argv: readonly string[], publicHex: readonly string[] = []): void {
  let words = 0;
  for (const [index, argument] of argv.entries()) {
    const flag = SECRET_FLAG.exec(argument)?.[1];
    if (flag !== undefined) throw secretInArguments(flag);
    const value = argument.startsWith('--') ? argument.slice(argument.indexOf('=') + 1) : argument;
    const before = argument.startsWith('--') ? argument.split('=')[0] : argv[index - 1];
    const isPublic = publicHex.some((name) => before === `--${name}`);
    words = /^[a-z]{3,8}$/.test(argument) ? words + 1 : 0;
    if ((looksSecret(value) && !isPublic) || words === FEWEST_WORDS) throw secretInArguments('an argument');
  }
}

function secretInArguments(where: string): KeyError {
  return new KeyError(
    `${where} is no place for a secret: every user of this machine can read a program's arguments; ${WAYS}, and treat a secret that was given this way as known to others`,
  );
}

/** Words, or 64 hex digits, with or without a key type before them. */
function looksSecret(text: string): boolean {
  const bare = text.trim().replace(/^(ed25519|sr25519):/, '');
  return /^(0x)?[0-9a-fA-F]{64}$/.test(bare) || bare.split(/\s+/).filter(isWord).length >= FEWEST_WORDS;
}

const isWord = (text: string): boolean => /^[a-zA-Z]{3,8}$/.test(text);

function parseKey(where: string, text: string): KeyFile {
  const [, keyType, secret] = /^\s*(ed25519|sr25519):(.+)$/s.exec(text) ?? [];
  try {
    return KeyFile.parse(keyType === undefined ? JSON.parse(text) : { keyType, secret: secret?.trim() });
  } catch {
    // The parser's own text may quote the secret.
    throw new KeyError(`${where} does not hold a key: ${FORM}`);
  }
}

function checkMode(what: string, mode: number): void {
  if ((mode & 0o077) === 0) return;
  throw new KeyError(`${what} has mode ${(mode & 0o777).toString(8)}: others may use it; set it to 600`);
}

async function readPrivateFile(path: string): Promise<string> {
  // Mode and content are of one file, whatever the name leads to a moment later; a pipe must not hold us up.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new KeyError(`${path} is not a file; for a pipe use --key-fd`);
    checkMode(path, stat.mode);
    if (stat.size > MAX_BYTES) throw new KeyError(`${path} has ${stat.size} bytes: that is no key`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function takeVariable(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new KeyError('--key-env takes the name of a variable');
  const value = process.env[name];
  if (value === undefined || value === '') throw new KeyError(`--key-env: the variable ${name} is not set`);
  delete process.env[name];
  return value;
}

async function readDescriptor(text: string): Promise<string> {
  const fd = /^\d{1,4}$/.test(text) ? Number(text) : -1;
  if (fd < 0 || fd === 1 || fd === 2) throw new KeyError('--key-fd takes the number of a descriptor open for reading');
  const stream = openDescriptor(fd);
  const parts: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => {
    stream.destroy(new KeyError(`descriptor ${fd} did not end within ${READ_DEADLINE_MS / 1000} s`));
  }, READ_DEADLINE_MS);
  try {
    for await (const part of stream) {
      size += (part as Buffer).length;
      if (size > MAX_BYTES) throw new KeyError(`descriptor ${fd} gives more than ${MAX_BYTES} bytes: that is no key`);
      parts.push(part as Buffer);
    }
    return Buffer.concat(parts).toString('utf8');
  } catch (error) {
    throw error instanceof KeyError ? error : new KeyError(`descriptor ${fd}: ${(error as Error).message}`);
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}

function openDescriptor(fd: number): Readable {
  let stat: ReturnType<typeof fstatSync>;
  try {
    stat = fstatSync(fd);
  } catch {
    throw new KeyError(`descriptor ${fd} is not open`);
  }
  // A pipe is read without a thread that would wait for it, past the deadline too.
  if (stat.isFIFO() || stat.isSocket()) return new Socket({ fd, readable: true, writable: false });
  if (!stat.isFile()) throw new KeyError(`descriptor ${fd} is a device; give a pipe or a file`);
  checkMode(`descriptor ${fd}`, stat.mode);
  return createReadStream('', { fd, autoClose: true });
}

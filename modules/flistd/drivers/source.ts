/** Gets flist files: from HTTP, or from an allowed folder; bounded, hashed, into a private copy. */
import { createHash, randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GridError } from '../../../schemas/errors/index.ts';
import { type AddressGuard, UnusableAddressError } from '../../host/addresses.ts';
import { type AllowedFolders, NotAllowedError } from './allowed.ts';
import { FetchError, type FetchOptions, fetchBounded, RetryBudget, shownUrl } from './http.ts';
import { BodyLimitError, type Fetched } from './request.ts';
import { Validators } from './validators.ts';

/** A flist file by what it is; `path` is a private copy that `discard` removes. */
export interface FlistFile {
  readonly url: string;
  readonly sha256: string;
  /** Its name on the grid. */
  readonly md5: string;
  /** Undefined when the host says that nothing changed since it was last fetched. */
  readonly path: string | undefined;
  discard(): Promise<void>;
}

const FLIST_DEADLINE_MS = 60_000;
const HASH_DEADLINE_MS = 10_000;
const HASH_LIMIT_BYTES = 4096;
const RETRIES = 2;

/** Parses a flist's address and refuses what is not a version 2 file over HTTP or from a folder. */
export function parseFlistUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new GridError('flist_url_refused', { url: text.slice(0, 200), reason: 'it is no address' });
  }
  const shown = shownUrl(text);
  if (!['http:', 'https:', 'file:'].includes(url.protocol)) {
    throw new GridError('flist_url_refused', { url: shown, reason: 'only http, https and file addresses are read' });
  }
  if (url.username !== '' || url.password !== '') {
    throw new GridError('flist_url_refused', { url: shown, reason: 'it carries a password' });
  }
  if (url.protocol === 'file:' && url.host !== '') {
    throw new GridError('flist_url_refused', { url: shown, reason: 'a file address names no host' });
  }
  const extension = extname(url.pathname);
  if (extension === '.flist') throw new GridError('flist_version_unsupported', { url: shown, version: 1, required: 2 });
  if (extension !== '.fl') throw new GridError('flist_unknown_extension', { url: shown, extension });
  return url;
}

export interface FlistSourceOptions {
  /** Holds private copies and what is known of addresses. */
  readonly folder: string;
  readonly allowed: AllowedFolders;
  readonly guard: AddressGuard;
  readonly limitBytes: number;
  /** Whether a tree of this content is at hand, so that the file itself is not needed. */
  readonly isKept: (sha256: string) => boolean;
}

export class FlistSource {
  readonly #folder: string;
  readonly #validators: Validators;
  readonly #allowed: AllowedFolders;
  readonly #guard: AddressGuard;
  readonly #limitBytes: number;
  readonly #isKept: (sha256: string) => boolean;

  constructor({ folder, allowed, guard, limitBytes, isKept }: FlistSourceOptions) {
    this.#folder = folder;
    this.#validators = new Validators(folder);
    this.#allowed = allowed;
    this.#guard = guard;
    this.#limitBytes = limitBytes;
    this.#isKept = isKept;
  }

  /** Fetches a flist. @throws GridError of the `flist` stage */
  async get(text: string, signal: AbortSignal): Promise<FlistFile> {
    const url = parseFlistUrl(text);
    return url.protocol === 'file:' ? this.#fromFile(url) : this.#fromHttp(url, signal);
  }

  /** MD5 of the flist, from the `.md5` beside it or from the file itself. */
  async hash(text: string, signal: AbortSignal): Promise<string> {
    const url = parseFlistUrl(text);
    if (url.protocol !== 'file:') {
      const beside = new URL(url);
      beside.pathname += '.md5';
      const options = { deadlineMs: HASH_DEADLINE_MS, limitBytes: HASH_LIMIT_BYTES, signal };
      const found = await this.#fetch(beside, options);
      if (found.status === 200) {
        const hash = found.body.toString('latin1').trim();
        if (/^[0-9a-fA-F]{32}$/.test(hash)) return hash.toLowerCase();
        throw new GridError('flist_hash_invalid', { url: shownUrl(beside.href), length: hash.length });
      }
      if (found.status !== 404) {
        const status = `${found.status} ${found.statusText}`;
        throw new GridError('flist_not_found', { url: shownUrl(beside.href), status });
      }
    }
    const file = await this.get(text, signal);
    await file.discard();
    return file.md5;
  }

  async #fromFile(url: URL): Promise<FlistFile> {
    const shown = shownUrl(url.href);
    try {
      const { file, size } = await this.#allowed.open(fileURLToPath(url));
      try {
        this.#checkSize(shown, size);
        const content = await file.readFile();
        this.#checkSize(shown, content.length);
        return await this.#keep(shown, content);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof GridError) throw error;
      if (error instanceof NotAllowedError) {
        throw new GridError('flist_url_refused', { url: shown, reason: error.message }, { cause: error });
      }
      const status = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      throw new GridError('flist_not_found', { url: shown, status }, { cause: error });
    }
  }

  async #fromHttp(url: URL, signal: AbortSignal): Promise<FlistFile> {
    const shown = shownUrl(url.href);
    const known = await this.#validators.get(url.href);
    const usable = known !== undefined && this.#isKept(known.sha256);
    const found = await this.#fetch(url, {
      deadlineMs: FLIST_DEADLINE_MS,
      limitBytes: this.#limitBytes,
      headers: usable ? { 'if-none-match': known.etag } : {},
      signal,
    });
    if (found.status === 304 && usable) {
      const { sha256, md5 } = known;
      return { url: shown, sha256, md5, path: undefined, discard: async () => undefined };
    }
    if (found.status !== 200) {
      throw new GridError('flist_not_found', { url: shown, status: `${found.status} ${found.statusText}` });
    }
    const file = await this.#keep(shown, found.body);
    const { etag } = found.headers;
    if (etag !== undefined && !etag.startsWith('W/')) {
      const { sha256, md5 } = file;
      await this.#validators.put(url.href, { etag, sha256, md5 }).catch(async (error: unknown) => {
        await file.discard();
        throw error;
      });
    }
    return file;
  }

  async #fetch(url: URL, options: Omit<FetchOptions, 'guard'>): Promise<Fetched> {
    const shown = shownUrl(url.href);
    try {
      return await fetchBounded(url.href, new RetryBudget(RETRIES), { ...options, guard: this.#guard });
    } catch (error) {
      if (error instanceof BodyLimitError) {
        const limit = options.limitBytes;
        throw new GridError('flist_too_large', { url: shown, what: 'file bytes, more than', size: limit, limit });
      }
      if (error instanceof UnusableAddressError) {
        throw new GridError('flist_url_refused', { url: shown, reason: error.message }, { cause: error });
      }
      if (!(error instanceof FetchError)) throw error;
      const { attempts, message: reason } = error;
      throw new GridError('flist_unreachable', { url: shown, attempts, reason }, { cause: error });
    }
  }

  #checkSize(url: string, size: number): void {
    if (size <= this.#limitBytes) return;
    throw new GridError('flist_too_large', { url, what: 'file bytes', size, limit: this.#limitBytes });
  }

  async #keep(url: string, content: Buffer): Promise<FlistFile> {
    const path = join(this.#folder, `${randomBytes(8).toString('hex')}.fl`);
    await writeFile(path, content, { mode: 0o600, flag: 'wx' });
    return {
      url,
      sha256: createHash('sha256').update(content).digest('hex'),
      md5: createHash('md5').update(content).digest('hex'),
      path,
      discard: () => rm(path, { force: true }),
    };
  }
}

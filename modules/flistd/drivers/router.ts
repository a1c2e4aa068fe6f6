/** Finds the blocks of one flist at the stores its routes name, and verifies each. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GridError } from '../../../schemas/errors/index.ts';
import { type AddressGuard, UnusableAddressError } from '../../host/addresses.ts';
import { BLOB_LIMIT_BYTES, BlockError, decodeBlock } from '../format/block.ts';
import type { Route } from '../format/tree.ts';
import { type AllowedFolders, NotAllowedError } from './allowed.ts';
import { FetchError, fetchBounded, RetryBudget, shownUrl } from './http.ts';
import { BodyLimitError } from './request.ts';

const BLOCK_DEADLINE_MS = 10_000;
const RETRIES = 16;
/** How often a block is looked for that no store has whole, and the pause before the second look; it grows with each. */
const LOOKS = 3;
const LOOK_PAUSE_MS = 400;

/** A store gives a blob, or nothing where it has none under this id. */
type Store = (hex: string, signal: AbortSignal) => Promise<Uint8Array | undefined>;

interface RoutedStore {
  readonly route: Route;
  readonly shown: string;
  readonly get: Store;
  /** Set once it could not be reached: not asked again for this flist. */
  failure: FetchError | UnusableAddressError | undefined;
}

export class Router {
  readonly #stores: RoutedStore[] = [];
  /** Routes that cannot be used, with the reason. */
  readonly #unusable: Array<{ route: Route; reason: string }> = [];

  constructor(routes: readonly Route[], allowed: AllowedFolders, guard: AddressGuard) {
    const budget = new RetryBudget(RETRIES);
    for (const route of routes) {
      try {
        const get = openStore(route.url, allowed, guard, budget);
        this.#stores.push({ route, shown: shownUrl(route.url), get, failure: undefined });
      } catch (error) {
        this.#unusable.push({ route, reason: (error as Error).message });
      }
    }
  }

  /**
   * The plain bytes of a block, verified. Each store that may hold it is asked
   * in the order of the routes until one gives it whole. What is corrupt or
   * missing is looked for again before it is final.
   * @throws GridError `flist_block_corrupt`, `flist_store_unreachable`, `flist_block_missing`, `flist_not_routable`
   */
  async block(id: Buffer, key: Buffer, signal: AbortSignal): Promise<Uint8Array> {
    const first = id[0] ?? 0;
    const covers = ({ route }: { route: Route }): boolean => route.start <= first && first <= route.end;
    const hex = id.toString('hex');
    const notRoutable = (reasons: readonly string[]): GridError =>
      new GridError('flist_not_routable', {
        block: hex,
        reasons: [...this.#unusable.filter(covers).map((one) => one.reason), ...reasons],
      });
    const stores = this.#stores.filter(covers);
    for (let look = 1; ; look++) {
      let corrupt: GridError | undefined;
      let unreachable: { readonly route: string; readonly failure: FetchError } | undefined;
      const missing: string[] = [];
      const unusable: string[] = [];
      for (const store of stores) {
        try {
          if (store.failure !== undefined) throw store.failure;
          const blob = await store.get(hex, signal);
          if (blob !== undefined) return decodeBlock(id, key, blob);
          missing.push(store.shown);
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof BlockError || error instanceof BodyLimitError) {
            corrupt = new GridError('flist_block_corrupt', { block: hex, route: store.shown, reason: error.message });
          } else if (error instanceof FetchError) {
            store.failure = error;
            unreachable = { route: store.shown, failure: error };
          } else if (error instanceof UnusableAddressError) {
            store.failure = error;
            unusable.push(`'${store.shown}': ${error.message}`);
          } else throw error;
        }
      }
      // A store that did not answer may have it whole, so this is nothing final.
      if (unreachable !== undefined) throw storeUnreachable(hex, unreachable.route, unreachable.failure, corrupt);
      if (corrupt === undefined && missing.length === 0) throw notRoutable(unusable);
      if (look === LOOKS) throw corrupt ?? new GridError('flist_block_missing', { block: hex, routes: missing });
      await delay(LOOK_PAUSE_MS * look, undefined, { signal });
    }
  }
}

function storeUnreachable(
  block: string,
  route: string,
  failure: FetchError,
  corrupt: GridError | undefined,
): GridError {
  const { attempts, message } = failure;
  const reason = corrupt === undefined ? message : `${message}; ${corrupt.message}`;
  return new GridError('flist_store_unreachable', { block, route, attempts, reason });
}

function openStore(text: string, allowed: AllowedFolders, guard: AddressGuard, budget: RetryBudget): Store {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error('a route is no address');
  }
  const shown = shownUrl(text);
  if (url.protocol === 'http:' || url.protocol === 'https:') {
    if (url.username !== '' || url.password !== '') throw new Error(`'${shown}' carries a password`);
    // Only a folder can be named: a query would let a flist shape requests to other services.
    return httpStore(`${url.origin}${url.pathname.replace(/\/+$/, '')}`, guard, budget);
  }
  if (url.protocol === 'dir:') {
    const folder = fileURLToPath(`file://${url.pathname}`);
    if (url.host !== '' || !allowed.allows(folder)) throw new Error(`'${shown}' is outside the allowed folders`);
    return folderStore(folder, allowed);
  }
  throw new Error(`stores of kind '${url.protocol.slice(0, -1)}' are not supported`);
}

function httpStore(base: string, guard: AddressGuard, budget: RetryBudget): Store {
  return async (hex, signal) => {
    for (const path of [`${hex.slice(0, 2)}/${hex}`, hex]) {
      const options = { guard, deadlineMs: BLOCK_DEADLINE_MS, limitBytes: BLOB_LIMIT_BYTES, signal };
      const found = await fetchBounded(`${base}/${path}`, budget, options);
      if (found.status === 200) return found.body;
      if (found.status !== 404) throw new FetchError(`${found.status} ${found.statusText}`, 1, undefined);
    }
    return undefined;
  };
}

function folderStore(folder: string, allowed: AllowedFolders): Store {
  return async (hex) => {
    for (const path of [join(folder, hex.slice(0, 2), hex), join(folder, hex)]) {
      try {
        const { file, size } = await allowed.open(path);
        try {
          if (size > BLOB_LIMIT_BYTES) throw new BodyLimitError(`it has ${size} bytes, at most ${BLOB_LIMIT_BYTES}`);
          const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size), 0, size, 0);
          return buffer.subarray(0, bytesRead);
        } finally {
          await file.close();
        }
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT' || code === 'ENOTDIR') continue;
        if (error instanceof BodyLimitError) throw error;
        if (error instanceof NotAllowedError || code !== undefined)
          throw new FetchError((error as Error).message, 1, error);
        throw error;
      }
    }
    return undefined;
  };
}

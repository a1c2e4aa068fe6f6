/**
 * flistd: flists as directory trees.
 *
 *     flistd --state DIR [--allow-file DIR,…] [--cache-size BYTES]
 *            [--allow-address CIDR,…] [--deny-private true]
 *
 * Mounts stay over a stop and a restart; after a start of the host, what was
 * mounted is mounted again without the network. `purge.ts` takes everything down.
 */
import { mkdirSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AddressGuard } from '../host/addresses.ts';
import { runDaemon } from '../zbus/daemon.ts';
import { Gauge } from '../zbus/telemetry/prometheus.ts';
import { AllowedFolders } from './drivers/allowed.ts';
import { Bases } from './drivers/bases.ts';
import { Mounts } from './drivers/mounts.ts';
import { Records } from './drivers/records.ts';
import { FlistSource } from './drivers/source.ts';
import { FetchedTrees } from './drivers/trees.ts';
import { DEFAULT_LIMITS } from './format/limits.ts';
import { flist, flistInventory } from './interface.ts';
import { flistInventoryService } from './inventory.ts';
import { flistService } from './service.ts';

const DEFAULT_CACHE_BYTES = 20 * 1024 ** 3;

function cacheBytes(text: string | undefined): number {
  if (text === undefined) return DEFAULT_CACHE_BYTES;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new Error('flistd: --cache-size takes a number of bytes');
  return value;
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((word) => word !== '');
}

function isTrue(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw new Error(`flistd: --${name} takes true or false`);
}

await runDaemon({
  name: 'flistd',
  module: 'flist',
  options: ['allow-file', 'cache-size', 'allow-address', 'deny-private'],
  start: async ({ server, bus, log, metrics, root, options }) => {
    const addresses = {
      allowed: words(options['allow-address']),
      denyPrivate: isTrue('deny-private', options['deny-private']),
    };
    const guard = new AddressGuard(addresses);
    const real = realpathSync(root);
    const cache = join(real, 'cache');
    const fetched = join(cache, 'fetched');
    // Private copies that a crash left behind.
    await rm(fetched, { recursive: true, force: true });
    for (const folder of [fetched, join(real, 'mnt')]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    }
    const folders = words(options['allow-file']);
    const allowed = new AllowedFolders(folders);
    const mounts = metrics.driver('mounts', new Mounts(join(real, 'mnt')), ['path', 'find']);
    await mounts.settle();
    const records = await Records.open(join(real, 'mounts'));
    const bases = await Bases.open({
      folder: join(cache, 'base'),
      limitBytes: cacheBytes(options['cache-size']),
      allowed: folders.map((folder) => resolve(folder)),
      addresses,
      held: () => records.hashes(),
      log,
    });
    new Gauge({
      name: 'flistd_cache_bytes',
      help: 'Storage that unpacked images take',
      registers: [metrics.registry],
      collect() {
        this.set(bases.bytes);
      },
    });
    const source = new FlistSource({
      folder: fetched,
      allowed,
      guard,
      limitBytes: DEFAULT_LIMITS.fileBytes,
      isKept: (hash) => bases.get(hash) !== undefined,
    });
    server.serve(
      flist,
      flistService({
        trees: metrics.driver('trees', new FetchedTrees({ bases, source }), ['check', 'md5']),
        mounts,
        records,
        bus,
        log,
      }),
    );
    server.serve(flistInventory, flistInventoryService({ mounts, records, bus, unpackings: bases }));
    return undefined;
  },
});

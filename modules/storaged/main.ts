/**
 * storaged: pools, volumes and virtual disks.
 *
 *     storaged --state DIR [--device PATH[:ssd|:hdd],…] [--pool-size BYTES] [--cache-size BYTES]
 *
 * A stop leaves pools mounted: machines go on running while the daemon is
 * replaced. `purge.ts` takes everything down.
 */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { runDaemon } from '../zbus/daemon.ts';
import { openPools, parseDevices } from './drivers/open.ts';
import { startStorage } from './start.ts';

const GIB = 1024 ** 3;
const DEFAULT_POOL_BYTES = 10 * GIB;

function byteCount(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new Error(`storaged: --${flag} takes a number of bytes`);
  return value;
}

await runDaemon({
  name: 'storaged',
  module: 'storage',
  options: ['device', 'pool-size', 'cache-size'],
  start: async ({ server, log, metrics, root, state, options }) => {
    const opened = await openPools({
      root,
      pools: join(realpathSync(state), 'pools'),
      devices: parseDevices(options.device),
      poolBytes: byteCount('pool-size', options['pool-size']) ?? DEFAULT_POOL_BYTES,
      log,
    });
    const cacheBytes = byteCount('cache-size', options['cache-size']);
    return startStorage({ server, log, metrics, opened, cacheBytes });
  },
});

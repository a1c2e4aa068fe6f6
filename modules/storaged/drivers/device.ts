/** Looks at a device that was named on the command line: blank, ours, or to be left alone. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { GridError } from '../../../schemas/errors/index.ts';
import { listMounts } from '../../host/mounts.ts';
import { OWN_LABEL, probeContent } from './btrfs.ts';

const SECTOR_BYTES = 512;

/** Bytes of a block device. */
export function deviceBytes(device: string): number {
  return Number(readFileSync(`/sys/class/block/${basename(device)}/size`, 'utf8')) * SECTOR_BYTES;
}

function realDevice(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * The label of a device that carries a pool of ours, undefined for a blank one.
 * Throws `storage_device_refused` for everything else: it has no other way to
 * be touched. `pools` is the folder under which our own mounts are.
 */
export async function inspectDevice(
  path: string,
  pools: string,
): Promise<{ device: string; label: string | undefined }> {
  const refuse = (reason: string): GridError => new GridError('storage_device_refused', { path, reason });
  if (!isAbsolute(path)) throw refuse('its path is not absolute');
  const device = realDevice(path);
  if (!statSync(device, { throwIfNoEntry: false })?.isBlockDevice()) throw refuse('it is not a block device');

  const folder = `/sys/class/block/${basename(device)}`;
  if (!existsSync(folder)) throw refuse('the kernel does not list it');
  if (readFileSync(`${folder}/ro`, 'utf8').trim() !== '0') throw refuse('it is read-only');
  if (readdirSync(folder).some((name) => existsSync(`${folder}/${name}/partition`))) throw refuse('it has partitions');
  const holders = existsSync(`${folder}/holders`) ? readdirSync(`${folder}/holders`) : [];
  if (holders.length > 0) throw refuse(`it is in use by ${holders.join(', ')}`);
  const swaps = readFileSync('/proc/swaps', 'utf8').split('\n').slice(1);
  if (swaps.some((line) => realDevice(line.split(/\s/)[0] ?? '') === device)) throw refuse('it is used for swapping');
  const mount = listMounts().find(
    (found) =>
      found.source.startsWith('/dev/') && realDevice(found.source) === device && !found.target.startsWith(`${pools}/`),
  );
  if (mount !== undefined) throw refuse(`it is mounted at ${mount.target}`);

  const content = await probeContent(device);
  if (content === undefined) return { device, label: undefined };
  const label = content.LABEL ?? '';
  if (content.TYPE === 'btrfs' && OWN_LABEL.test(label)) return { device, label };
  const what = [content.PTTYPE, content.TYPE].filter((kind) => kind !== undefined).join(', ');
  throw refuse(`it has content (${what === '' ? 'unknown' : what}${label === '' ? '' : `, label '${label}'`})`);
}

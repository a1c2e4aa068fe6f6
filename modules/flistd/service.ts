/** Serves the flist interface: trees from flists, at mount points by name. */
import { basename } from 'node:path';
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { storage } from '../storaged/interface.ts';
import type { ZbusClient } from '../zbus/client.ts';
import type { Service } from '../zbus/definition.ts';
import type { Infer } from '../zbus/wire.ts';
import type { FlistMount, FlistMounts, FlistTree, FlistTrees } from './drivers/driver.ts';
import { shownUrl } from './drivers/http.ts';
import type { MountRecord, Records } from './drivers/records.ts';
import type { flist, MountOptions } from './interface.ts';
import { checkMountName } from './names.ts';

const VOLUME_DEADLINE_MS = 30_000;
const RESIZE_DEADLINE_MS = 10_000;

export interface FlistParts {
  readonly trees: FlistTrees;
  readonly mounts: FlistMounts;
  readonly records: Records;
  readonly bus: ZbusClient;
  readonly log: Logger;
}

type Options = Infer<typeof MountOptions>;
type Mounting = Omit<MountRecord, 'ownVolume'>;

function describe(url: string, readOnly: boolean): string {
  return `${shownUrl(url)} (${readOnly ? 'read-only' : 'writable'})`;
}

/** Unmounts what a name has, with the volume that was made for it, and forgets the name. */
export async function unmountName(
  { mounts, records, bus }: Pick<FlistParts, 'mounts' | 'records' | 'bus'>,
  name: string,
): Promise<void> {
  const record = records.get(name);
  await mounts.unmount(name);
  if (record?.ownVolume) await bus.of(storage).VolumeDelete({ name }, { deadlineMs: VOLUME_DEADLINE_MS });
  await records.remove(name);
}

export function flistService({ trees, mounts, records, bus, log }: FlistParts): Service<typeof flist> {
  const volumes = bus.of(storage);

  /** The path of what is mounted under this name, if it is what is asked for. */
  const mounted = (found: FlistMount, name: string, url: string, readOnly: boolean): string => {
    const record = records.get(name);
    if (record?.url === url && found.readOnly === readOnly) return found.path;
    const now = record === undefined ? 'another flist' : describe(record.url, found.readOnly);
    throw new GridError('flist_mounted_otherwise', { name, mounted: now, requested: describe(url, readOnly) });
  };

  const deleteVolume = async (name: string): Promise<boolean> => {
    try {
      await volumes.VolumeDelete({ name }, { deadlineMs: VOLUME_DEADLINE_MS });
      return true;
    } catch (error) {
      log.warn({ err: error, name }, 'volume of a failed mount not deleted');
      return false;
    }
  };

  /**
   * Mounts a base's tree under a name. What was made for it goes again when
   * that fails or the caller has given up, who then believes that nothing is
   * mounted; a record from before stands.
   */
  const mountTree = async (name: string, tree: FlistTree, record: Mounting, opt: Options, signal: AbortSignal) => {
    const wantsVolume = !opt.ReadOnly && opt.PersistedVolume === '';
    if (wantsVolume && opt.Limit === 0) {
      const reason = 'missing disk type: neither Limit nor PersistedVolume';
      throw new GridError('flist_option_refused', { name, reason });
    }
    const before = records.get(name);
    const calling = { deadlineMs: VOLUME_DEADLINE_MS };
    const makesVolume = wantsVolume && !(await volumes.VolumeExists({ name }, calling));
    signal.throwIfAborted();
    await records.write(name, { ...record, ownVolume: makesVolume || before?.ownVolume === true });
    try {
      const volume = wantsVolume
        ? (await volumes.VolumeCreate({ name, size: opt.Limit }, calling)).Path
        : opt.PersistedVolume;
      const path = opt.ReadOnly
        ? await mounts.mountReadOnly(name, tree)
        : await mounts.mountWritable(name, tree, volume);
      signal.throwIfAborted();
      return path;
    } catch (error) {
      await mounts.unmount(name);
      // With the volume left its record stays, so that `Unmount` still finds it.
      if (makesVolume && !(await deleteVolume(name))) throw error;
      if (before === undefined) await records.remove(name);
      else await records.write(name, before);
      throw error;
    }
  };

  return {
    /**
     * A name keeps the very flist it was mounted with until `Unmount`: mounted
     * again with the same address, as after a start of the host, it gets that
     * content from the cache, without the network and whatever the address
     * gives by now.
     */
    async Mount({ name, url, opt }, { signal, trace }) {
      checkMountName(name);
      trees.check(url);
      const found = mounts.find(name);
      if (found !== undefined) return mounted(found, name, url, opt.ReadOnly);

      const started = performance.now();
      const record = records.get(name);
      const known = record?.url === url ? record.sha256 : undefined;
      return trees.with(url, known, signal, async (tree) => {
        const { sha256 } = tree;
        const path = await mountTree(name, tree, { url, sha256, readOnly: opt.ReadOnly }, opt, signal);
        const milliseconds = Math.round(performance.now() - started);
        const said = { trace, mount: name, url: tree.shown, sha256, readOnly: opt.ReadOnly, milliseconds };
        log.info(said, tree.kept ? 'flist mounted again from the cache, as first mounted' : 'flist mounted');
        return path;
      });
    },

    async Unmount({ name }, { trace }) {
      checkMountName(name);
      await unmountName({ mounts, records, bus }, name);
      log.info({ trace, mount: name }, 'flist unmounted');
    },

    async UpdateMountSize({ name, limit }) {
      checkMountName(name);
      const found = mounts.find(name);
      if (found === undefined) throw new GridError('flist_not_mounted', { name });
      if (found.volume === undefined) throw new GridError('flist_option_refused', { name, reason: 'it is read-only' });
      await volumes.VolumeUpdate({ name: basename(found.volume), size: limit }, { deadlineMs: RESIZE_DEADLINE_MS });
      return found.path;
    },

    Exists({ name }) {
      checkMountName(name);
      return mounts.find(name) !== undefined;
    },

    FlistHash: ({ url }, { signal }) => trees.hash(url, signal),

    HashFromRootPath({ name }) {
      // Callers give the name of a mount or the path that Mount returned.
      const mountName = mounts.path(basename(name)) === name ? basename(name) : name;
      checkMountName(mountName);
      const sha256 = mounts.find(mountName)?.sha256;
      if (sha256 === undefined) throw new GridError('flist_not_mounted', { name });
      const md5 = trees.md5(sha256);
      if (md5 === undefined) throw new GridError('flist_not_mounted', { name });
      return md5;
    },
  };
}

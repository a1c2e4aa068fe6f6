/** Serves the flist interface: trees from flists, at mount points by name. */
import { basename } from 'node:path';
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { storage } from '../storaged/interface.ts';
import type { ZbusClient } from '../zbus/client.ts';
import type { Service } from '../zbus/definition.ts';
import type { Infer } from '../zbus/wire.ts';
import type { Bases } from './drivers/bases.ts';
import { shownUrl } from './drivers/http.ts';
import type { FlistMount, Mounts } from './drivers/mounts.ts';
import type { MountRecord, Records } from './drivers/records.ts';
import { type FlistSource, parseFlistUrl } from './drivers/source.ts';
import type { flist, MountOptions } from './interface.ts';
import { checkMountName } from './names.ts';

const VOLUME_DEADLINE_MS = 30_000;
const RESIZE_DEADLINE_MS = 10_000;

export interface FlistParts {
  readonly bases: Bases;
  readonly mounts: Mounts;
  readonly records: Records;
  readonly source: FlistSource;
  readonly bus: ZbusClient;
  readonly log: Logger;
}

type Options = Infer<typeof MountOptions>;

function describe(url: string, readOnly: boolean): string {
  return `${shownUrl(url)} (${readOnly ? 'read-only' : 'writable'})`;
}

export function flistService({ bases, mounts, records, source, bus, log }: FlistParts): Service<typeof flist> {
  const volumes = bus.of(storage);

  /** The path of what is mounted under this name, if it is what is asked for. */
  const mounted = async (found: FlistMount, name: string, url: string, readOnly: boolean): Promise<string> => {
    const record = await records.read(name);
    if (record?.url === url && found.readOnly === readOnly) return found.path;
    const now = record === undefined ? 'another flist' : describe(record.url, found.readOnly);
    throw new GridError('flist_mounted_otherwise', { name, mounted: now, requested: describe(url, readOnly) });
  };

  /** The folder that takes what is written: given, or a volume of the mount's own. */
  const volumeFor = async (name: string, opt: Options, record: MountRecord): Promise<string> => {
    if (!record.ownVolume) return opt.PersistedVolume;
    const volume = await volumes.VolumeCreate({ name, size: opt.Limit }, { deadlineMs: VOLUME_DEADLINE_MS });
    return volume.Path;
  };

  const mountWritable = async (name: string, tree: string, url: string, opt: Options): Promise<string> => {
    const ownVolume = opt.PersistedVolume === '';
    if (ownVolume && opt.Limit === 0) {
      throw new GridError('flist_option_refused', {
        name,
        reason: 'missing disk type: neither Limit nor PersistedVolume',
      });
    }
    const record: MountRecord = { url, readOnly: false, ownVolume };
    const before = await records.read(name);
    const existed = ownVolume && (await volumes.VolumeExists({ name }, { deadlineMs: VOLUME_DEADLINE_MS })) === true;
    await records.write(name, { ...record, ownVolume: ownVolume && (!existed || before?.ownVolume === true) });
    try {
      return await mounts.mountWritable(name, tree, await volumeFor(name, opt, record));
    } catch (error) {
      if (ownVolume && !existed) {
        await volumes
          .VolumeDelete({ name }, { deadlineMs: VOLUME_DEADLINE_MS })
          .catch((failure: unknown) => log.warn({ err: failure, name }, 'volume of a failed mount not deleted'));
      }
      if (before === undefined) await records.remove(name);
      throw error;
    }
  };

  const unmount = async (name: string): Promise<void> => {
    const record = await records.read(name);
    await mounts.unmount(name);
    if (record?.ownVolume) await volumes.VolumeDelete({ name }, { deadlineMs: VOLUME_DEADLINE_MS });
    await records.remove(name);
  };

  return {
    async Mount({ name, url, opt }, { signal, trace }) {
      checkMountName(name);
      parseFlistUrl(url);
      const found = mounts.find(name);
      if (found !== undefined) return mounted(found, name, url, opt.ReadOnly);

      const started = performance.now();
      const file = await source.get(url, signal);
      try {
        return await bases.with(file, signal, async (tree) => {
          signal.throwIfAborted();
          let path: string;
          if (opt.ReadOnly) {
            const before = await records.read(name);
            await records.write(name, { url, readOnly: true, ownVolume: before?.ownVolume ?? false });
            try {
              path = await mounts.mountReadOnly(name, tree);
            } catch (error) {
              if (before === undefined) await records.remove(name);
              throw error;
            }
          } else path = await mountWritable(name, tree, url, opt);
          if (signal.aborted) {
            // A caller that has given up believes that nothing is mounted.
            await unmount(name);
            throw signal.reason;
          }
          const milliseconds = Math.round(performance.now() - started);
          log.info({ trace, name, url: file.url, readOnly: opt.ReadOnly, milliseconds }, 'flist mounted');
          return path;
        });
      } finally {
        await file.discard();
      }
    },

    async Unmount({ name }, { trace }) {
      checkMountName(name);
      await unmount(name);
      log.info({ trace, name }, 'flist unmounted');
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

    FlistHash: ({ url }, { signal }) => source.hash(url, signal),

    HashFromRootPath({ name }) {
      // Callers give the name of a mount or the path that Mount returned.
      const mountName = mounts.path(basename(name)) === name ? basename(name) : name;
      checkMountName(mountName);
      const sha256 = mounts.find(mountName)?.sha256;
      if (sha256 === undefined) throw new GridError('flist_not_mounted', { name });
      const base = bases.get(sha256);
      if (base === undefined) throw new GridError('flist_not_mounted', { name });
      return base.md5;
    },
  };
}

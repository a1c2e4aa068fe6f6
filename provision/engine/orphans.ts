/** What looks like a deployment's resource and belongs to none: found at start, removed, counted. */
import { basename } from 'node:path';
import type { BusLog } from '../../modules/zbus/broker.ts';
import { type DeploymentId, deploymentId, type Journal } from '../store/journal.ts';
import type { Daemons } from '../workloads/workload.ts';

const CALL_DEADLINE_MS = 30_000;
/** `<twin>-<contract>-<name>`, as every node of the grid names what belongs to a workload. */
const WORKLOAD_ID = /^(\d{1,10})-(\d{1,20})-([a-zA-Z0-9_]{1,50})$/;
const ROOTFS = 'rootfs:';

export interface Orphan {
  readonly kind: 'machine' | 'volume' | 'disk' | 'network';
  readonly name: string;
}

export interface OrphanCount {
  readonly found: readonly Orphan[];
  readonly removed: number;
}

/**
 * Compares the daemons' lists with the journal. With a journal that was made
 * just now nothing is removed: it may be the journal that is missing. Throws
 * when a daemon does not answer.
 */
export async function removeOrphans(
  journal: Journal,
  daemons: Daemons,
  log: BusLog,
  signal: AbortSignal,
): Promise<OrphanCount> {
  const calling = { deadlineMs: CALL_DEADLINE_MS, signal };
  // Machines first: what they use can only go after them.
  const found: Orphan[] = [];
  const collect = (kind: Orphan['kind'], names: readonly string[]): void => {
    for (const name of names) if (isOrphan(journal, name)) found.push({ kind, name });
  };
  collect('machine', await daemons.vmd.List({}, calling));
  collect(
    'volume',
    (await daemons.storage.VolumeList({}, calling)).map((volume) => volume.Name),
  );
  collect(
    'disk',
    (await daemons.storage.DiskList({}, calling)).map((disk) => basename(disk.Path)),
  );
  collect('network', [...(await daemons.network.Metrics({}, calling)).keys()]);

  if (found.length === 0) return { found, removed: 0 };
  if (journal.fresh) {
    log.error({ found }, 'the host holds deployments that this new journal does not know; they are left alone');
    return { found, removed: 0 };
  }
  let removed = 0;
  for (const orphan of found) {
    if (!isOrphan(journal, orphan.name)) continue;
    try {
      await removeOrphan(daemons, orphan, calling);
      removed += 1;
      log.warn({ orphan }, 'removed what no deployment owns');
    } catch (error) {
      log.error({ err: error, orphan }, 'could not remove what no deployment owns');
    }
  }
  return { found, removed };
}

async function removeOrphan(
  { vmd, flist, storage, network }: Daemons,
  { kind, name }: Orphan,
  calling: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<void> {
  if (kind === 'machine') {
    await vmd.Delete({ name }, calling);
  } else if (kind === 'volume') {
    // A root file system still may be mounted.
    if (name.startsWith(ROOTFS)) await flist.Unmount({ name: name.slice(ROOTFS.length) }, calling);
    await storage.VolumeDelete({ name }, calling);
  } else if (kind === 'disk') {
    await storage.DiskDelete({ name }, calling);
  } else {
    await network.DeleteNR({ wl: name }, calling);
  }
}

function isOrphan(journal: Journal, name: string): boolean {
  const match = WORKLOAD_ID.exec(name.startsWith(ROOTFS) ? name.slice(ROOTFS.length) : name);
  if (match === null) return false;
  const owner: DeploymentId = deploymentId(Number(match[1]), BigInt(match[2] ?? 0));
  const workload = journal.deployment(owner)?.workloads.find((one) => one.name === match[3]);
  return workload?.held === undefined;
}

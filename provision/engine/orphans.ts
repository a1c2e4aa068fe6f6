/**
 * What looks like a deployment's resource and belongs to none: found at start, counted, and removed
 * where this journal once promised it. What it never knew may be another journal's, lost or restored:
 * data of tenants is not removed on a doubt.
 */
import { basename } from 'node:path';
import type { BusLog } from '../../modules/zbus/broker.ts';
import { deploymentId, type Journal } from '../store/journal.ts';
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

/** Compares the daemons' lists with the journal. Throws when a daemon does not answer. */
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

  const unknown = found.filter((orphan) => !isOurs(journal, orphan.name));
  if (unknown.length > 0) log.error({ unknown }, 'the host holds what this journal never knew; it is left alone');
  let removed = 0;
  for (const orphan of found) {
    if (!isOurs(journal, orphan.name) || !isOrphan(journal, orphan.name)) continue;
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
  const owner = ownerOf(name);
  if (owner === undefined) return false;
  const record = journal.deployment(deploymentId(owner.twin, owner.contract));
  return record?.workloads.find((one) => one.name === owner.workload)?.held === undefined;
}

function isOurs(journal: Journal, name: string): boolean {
  const owner = ownerOf(name);
  return owner !== undefined && journal.knows(owner.twin, owner.contract);
}

function ownerOf(name: string): { twin: number; contract: bigint; workload: string } | undefined {
  const match = WORKLOAD_ID.exec(name.startsWith(ROOTFS) ? name.slice(ROOTFS.length) : name);
  if (match === null) return undefined;
  const [, twin = '', contract = '', workload = ''] = match;
  return { twin: Number(twin), contract: BigInt(contract), workload };
}

/** The journal's wishes against what the host has. Pure but for reading the journal, in slices so that nobody waits. */
import type { DeploymentId, WorkloadRecord } from '../store/journal.ts';
import { type Holding, holdingsOf } from './holdings.ts';
import { type HostItem, type HostReading, keyOf } from './host.ts';
import { type JournalView, ownerOf } from './owners.ts';
import { Turns } from './turns.ts';

/** Something of the host that nothing needs. */
export interface Leak {
  readonly item: HostItem;
  /** Of its owner; undefined for what never had one. */
  readonly deployment: DeploymentId | undefined;
}

export interface Difference {
  /** Known to this journal and needed by nothing. */
  readonly ownerless: readonly Leak[];
  /** What this journal can not judge. */
  readonly unknown: readonly HostItem[];
  /** Parts without a machine, in the way of a machine that is to be there. */
  readonly strays: readonly Leak[];
  /** What runs by the journal and is not on the host. */
  readonly missing: readonly { readonly deployment: DeploymentId; readonly holding: Holding }[];
}

/** Parts of a machine that vmd has no record of. */
const PARTS: ReadonlySet<string> = new Set(['process', 'run-folder', 'control-group', 'share-lock']);

/** Workloads that are to be on the host as they are, each by its record: a later one is another. */
export async function runningNow(journal: JournalView): Promise<ReadonlySet<WorkloadRecord>> {
  const found = new Set<WorkloadRecord>();
  const turns = new Turns();
  for (const { cancelled, workloads } of journal.deployments()) {
    if (turns.isOver) await turns.next();
    if (cancelled !== undefined) continue;
    for (const one of workloads)
      if (one.state === 'ok' && one.removal === undefined && one.next === undefined) found.add(one);
  }
  return found;
}

/** `running`: what ran before the host was read; what came to be meanwhile may not be in the reading. */
export async function compare(
  journal: JournalView,
  { items, away }: HostReading,
  running: ReadonlySet<WorkloadRecord>,
): Promise<Difference> {
  const present = await keysOf(items);
  const needed = new Set<string>();
  const missing: { deployment: DeploymentId; holding: Holding }[] = [];
  const turns = new Turns();
  for (const record of journal.deployments()) {
    if (turns.isOver) await turns.next();
    for (const workload of record.workloads) {
      for (const holding of holdingsOf(record, workload)) {
        const key = keyOf(holding);
        needed.add(key);
        if (!running.has(workload) || present.has(key) || away.has(holding.module)) continue;
        missing.push({ deployment: record.id, holding });
      }
    }
  }
  return { ...(await judge(journal, items, needed, present)), missing };
}

async function keysOf(items: readonly HostItem[]): Promise<ReadonlySet<string>> {
  const turns = new Turns();
  const found = new Set<string>();
  for (const item of items) {
    if (turns.isOver) await turns.next();
    found.add(keyOf(item));
  }
  return found;
}

async function judge(
  journal: JournalView,
  items: readonly HostItem[],
  needed: ReadonlySet<string>,
  present: ReadonlySet<string>,
): Promise<Omit<Difference, 'missing'>> {
  const ownerless: Leak[] = [];
  const strays: Leak[] = [];
  const unknown: HostItem[] = [];
  const turns = new Turns();
  for (const item of items) {
    if (turns.isOver) await turns.next();
    if (item.owner === '') {
      if (needed.has(keyOf(item))) continue;
      if (item.residue) ownerless.push({ item, deployment: undefined });
      else unknown.push(item);
      continue;
    }
    const { id, standing } = ownerOf(journal, item.owner);
    if (standing === 'unknown') unknown.push(item);
    else if (standing === 'owned') {
      const machine = keyOf({ module: 'vmd', kind: 'machine', name: item.owner });
      const isStray = PARTS.has(item.kind) && needed.has(machine) && !present.has(machine);
      if (isStray) strays.push({ item, deployment: id });
    } else if (!isNeededAnyway(item, needed)) ownerless.push({ item, deployment: id });
  }
  return { ownerless, unknown, strays };
}

/**
 * A network has one entry for each of its holders: that one of them is gone says nothing of the others. Everything
 * else that is needed by its name stays, whatever owner it was marked with.
 */
function isNeededAnyway(item: HostItem, needed: ReadonlySet<string>): boolean {
  return item.kind !== 'network' && needed.has(keyOf(item));
}

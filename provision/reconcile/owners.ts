/** Whose a thing of the host is, by the journal as it is now. */
import { parseWorkloadId, type WorkloadId } from '../../schemas/ids.ts';
import {
  type DeploymentId,
  type DeploymentRecord,
  deploymentId,
  type Journal,
  type Quarantined,
} from '../store/journal.ts';

/**
 * `ownerless`: this journal once promised it, and nothing that it holds needs it any more. `unknown`: this journal
 * never knew its owner, or can not read what it knew; another journal may, so it is not for this one to remove.
 */
export type Standing = 'owned' | 'ownerless' | 'unknown';

export type JournalView = Pick<
  Journal,
  'deployment' | 'deployments' | 'knows' | 'quarantined' | 'vacating' | 'vacated'
>;

export interface Owner {
  /** Empty where the owner can be no workload's. */
  readonly id: DeploymentId;
  readonly standing: Standing;
}

/** `owner` is the id of a workload. */
export function ownerOf(journal: JournalView, owner: string): Owner {
  const parsed = readWorkloadId(owner);
  if (parsed === undefined) return { id: '', standing: 'unknown' };
  const { twinId, contractId, name } = parsed;
  const id = deploymentId(twinId, contractId);
  return { id, standing: standingOf(journal, journal.deployment(id), { id, twinId, contractId, name }) };
}

function standingOf(
  journal: JournalView,
  record: DeploymentRecord | undefined,
  { id, twinId, contractId, name }: { id: DeploymentId; twinId: number; contractId: bigint; name: string },
): Standing {
  const workload = record?.workloads.find((one) => one.name === name);
  if (workload?.held !== undefined) return 'owned';
  // What was set aside may be this workload's.
  if (journal.quarantined().some((one) => isAbout(one, id))) return 'unknown';
  return record !== undefined || journal.knows(twinId, contractId) ? 'ownerless' : 'unknown';
}

/** What is told there, nobody holds anything by. */
const LOGS: ReadonlySet<string> = new Set(['changes', 'steps', 'operations', 'history']);

/** What does not say whose it was may be anybody's, but for a whole journal that was lost: this one began after it. */
function isAbout({ deployment, table }: Quarantined, id: DeploymentId): boolean {
  if (LOGS.has(table)) return false;
  return deployment === '' ? table !== 'journal' : deployment === id;
}

function readWorkloadId(text: string): WorkloadId | undefined {
  try {
    return parseWorkloadId(text);
  } catch {
    return undefined;
  }
}

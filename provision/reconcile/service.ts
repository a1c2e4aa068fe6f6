/** The comparison of the host with the journal on the bus. */
import type { Service } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { Leaks as LeaksStruct, reconciler } from '../interface.ts';
import type { KindLeaks, Leaks } from './leaks.ts';
import type { Reconciler } from './reconciler.ts';

export function reconcilerService(comparison: Reconciler): Service<typeof reconciler> {
  return {
    Leaks: () => leaksStruct(comparison.leaks),
    Run: async () => leaksStruct(await comparison.run()),
  };
}

function leaksStruct(leaks: Leaks): Infer<typeof LeaksStruct> {
  return {
    Runs: leaks.runs,
    StartedAt: leaks.startedAt,
    DurationMs: leaks.durationMs,
    Error: leaks.error,
    Away: [...leaks.away],
    Kinds: leaks.kinds.map(kindStruct),
    RemovedInAll: new Map(Object.entries(leaks.removedInAll)),
    FailedInAll: new Map(Object.entries(leaks.failedInAll)),
    RepairsInAll: new Map(Object.entries(leaks.repairsInAll)),
  };
}

function kindStruct(one: KindLeaks): Infer<typeof LeaksStruct>['Kinds'][number] {
  return {
    Kind: one.kind,
    Found: one.found,
    FoundBytes: one.foundBytes,
    Removed: one.removed,
    RemovedBytes: one.removedBytes,
    Kept: one.kept,
    KeptBytes: one.keptBytes,
    Unknown: one.unknown,
    UnknownBytes: one.unknownBytes,
    Missing: one.missing,
  };
}

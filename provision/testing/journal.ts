/** What an acceptance writes into the journal, for tests of the journal alone. */
import type { ReservedWorkload } from '../plan/capacity.ts';
import type { Acceptance, RevisedWorkload, Revision } from '../store/journal.ts';

/** Another second at each look. */
export function clock(): () => number {
  let now = 1_000_000;
  return () => {
    now += 1000;
    return now;
  };
}

/** A network and a machine, or others of these names, in contract `contract` of twin 7. */
export function acceptance(contract: bigint, names: readonly string[] = ['net1', 'vm1']): Acceptance {
  return {
    twin: 7,
    contract,
    version: 0,
    document: `{"contract_id":${contract}}`,
    hash: 'abc',
    trace: 'trace-1',
    workloads: names.map((name) =>
      name === 'vm1'
        ? { name, type: 'zmachine', version: 0, signed: '"vm 0"', after: ['net1'], awaitsNetwork: 'far' }
        : { name, type: 'network', version: 0, signed: '"net 0"', after: [] },
    ),
    reservation: {
      twin: 7,
      contract,
      workloads: names.map((name) => ({
        name,
        type: 'network',
        state: 'pending',
        vcpus: 1,
        memoryBytes: 2 ** 40,
        publicIps: 0,
        allocations: [],
      })),
    },
  };
}

/** The next version: `changed` are to be what they were not, `removed` to go. */
export function revision(
  contract: bigint,
  version: number,
  changed: readonly string[],
  removed: readonly string[] = [],
): Revision {
  const { twin, document, hash, trace, reservation } = acceptance(contract, changed);
  const workloads = changed.map((name): RevisedWorkload => {
    const held = reservation.workloads.find((one) => one.name === name) as ReservedWorkload;
    return {
      name,
      // A workload keeps its type as long as it is there.
      type: name === 'vm1' ? 'zmachine' : 'network',
      version,
      signed: `"${name} ${version}"`,
      after: [],
      held: { ...held, memoryBytes: 2 ** 41 },
    };
  });
  return {
    twin,
    contract,
    version,
    document: document.replace('}', `,"version":${version}}`),
    hash,
    trace,
    removed,
    workloads,
  };
}

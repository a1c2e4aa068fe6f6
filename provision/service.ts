/** What provisiond answers on the bus. Reads come from the journal alone and never wait for the engine. */
import type { Service } from '../modules/zbus/definition.ts';
import { parseWorkloadId } from '../schemas/ids.ts';
import type { Acceptor } from './accept.ts';
import type { Engine } from './engine/engine.ts';
import type { provision } from './interface.ts';
import { absent } from './store/absent.ts';
import { type Change, type DeploymentRecord, deploymentId, type Journal } from './store/journal.ts';
import { signedWorkload, standingDeployment } from './store/signed.ts';
import { deploymentFromStruct, deploymentToStruct, type WorkloadStruct, workloadToStruct } from './wire.ts';

/** Milliseconds that another daemon's request to remove a workload may take. */
const DECOMMISSION_DEADLINE_MS = 180_000;

export interface ProvisionServiceOptions {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly acceptor: Acceptor;
}

export function provisionService({ journal, engine, acceptor }: ProvisionServiceOptions): Service<typeof provision> {
  const need = (twin: number, contract: bigint): DeploymentRecord => {
    const record = journal.deployment(deploymentId(twin, contract));
    if (record === undefined) throw absent(journal, twin, contract);
    return record;
  };
  const workloadOf = (id: string) => {
    const { twinId, contractId, name } = parseWorkloadId(id);
    const record = journal.deployment(deploymentId(twinId, contractId));
    return { record, workload: record?.workloads.find((one) => one.name === name) };
  };

  return {
    CreateOrUpdate: async ({ twin, deployment: struct, update }, { signal, trace }) => {
      const deployment = deploymentFromStruct(struct, { results: 'drop' });
      if (!update) return acceptor.create(deployment, twin, trace, signal);
      return acceptor.update(deployment, twin, trace, signal);
    },
    Get: ({ twin, contractID }) => deploymentToStruct(standingDeployment(need(twin, contractID))),
    List: ({ twin }) =>
      journal
        .deploymentsOf(twin)
        .filter((record) => record.workloads.some(isAlive))
        .map((record) => deploymentToStruct(standingDeployment(record))),
    Changes: ({ twin, contractID }) => journal.changes(need(twin, contractID).id).map(changedWorkload),
    GetWorkloadStatus: ({ id }) => {
      const { workload } = workloadOf(id);
      return workload === undefined || workload.state === 'deleted' ? ['', false] : [workload.state, true];
    },
    DecommissionCached: async ({ id, reason }, { signal }) => {
      const { record, workload } = workloadOf(id);
      if (record === undefined || workload === undefined) return;
      await engine.decommission(
        record.id,
        workload.name,
        `workload decommissioned by system, reason: ${reason}`,
        AbortSignal.any([signal, AbortSignal.timeout(DECOMMISSION_DEADLINE_MS)]),
      );
    },
    ListTwins: () => [...new Set(journal.deployments().map((record) => record.twin))],
    ListPrivateIPs: ({ twin, network }) =>
      journal
        .deploymentsOf(twin)
        .flatMap((record) => record.workloads.filter(isAlive))
        .flatMap(({ held }) => (held?.address?.network === network ? [held.address.ip] : [])),
    ListPublicIPs: () => [],
  };
}

function isAlive({ state }: { readonly state: string }): boolean {
  return state !== 'deleted' && state !== 'error';
}

/** The workload as it was signed for the change's version, with the state it came to. */
function changedWorkload(change: Change): WorkloadStruct {
  const { state, message, data, created } = change;
  return workloadToStruct({ ...signedWorkload(change), result: { state, message, data, created } });
}

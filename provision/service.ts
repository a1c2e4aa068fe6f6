/** What provisiond answers on the bus. Reads come from the journal alone and never wait for the engine. */
import type { Service } from '../modules/zbus/definition.ts';
import { type Deployment, findWorkload, noResult, parseDeployment, type Workload } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import { parseWorkloadId } from '../schemas/ids.ts';
import type { Acceptor } from './accept.ts';
import type { Engine } from './engine/engine.ts';
import type { provision } from './interface.ts';
import { type Change, type DeploymentRecord, deploymentId, type Journal } from './store/journal.ts';
import { type DeploymentStruct, deploymentFromStruct, deploymentToStruct, workloadToStruct } from './wire.ts';

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
    if (record === undefined) throw new GridError('deployment_not_found', { twin, contract: contract.toString() });
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
      await acceptor.verify(deployment, twin, signal);
      throw refuseUpdate(journal, deployment);
    },
    Get: ({ twin, contractID }) => currentDeployment(need(twin, contractID)),
    List: ({ twin }) =>
      journal
        .deployments()
        .filter((record) => record.twin === twin && record.workloads.some(isAlive))
        .map(currentDeployment),
    Changes: ({ twin, contractID }) => {
      const record = need(twin, contractID);
      const document = parseDeployment(record.document);
      return journal.changes(record.id).flatMap((change) => {
        const workload = findWorkload(document, change.workload);
        return workload === undefined ? [] : [workloadToStruct(withResult(workload, change))];
      });
    },
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
        .deployments()
        .filter((record) => record.twin === twin && record.workloads.some(isAlive))
        .flatMap((record) => record.workloads.filter(isAlive))
        .flatMap(({ held }) => (held?.address?.network === network ? [held.address.ip] : [])),
    ListPublicIPs: () => [],
  };
}

/** No workload type of this node changes in place yet; the texts are those of the grid's nodes. */
function refuseUpdate(journal: Journal, { twin_id: twin, contract_id, version, workloads }: Deployment): GridError {
  const contract = contract_id.toString();
  const record = journal.deployment(deploymentId(twin, contract_id));
  if (record === undefined) {
    const isTwinKnown = journal.deployments().some((one) => one.twin === twin);
    return new GridError('deployment_to_update_missing', { twin, contract, isTwinKnown });
  }
  if (version !== record.version + 1) {
    const reason = `expecting deployment version ${record.version + 1}, got ${version}`;
    return new GridError('upgrade_invalid', { reason });
  }
  const changed = workloads.find((workload) => workload.version === version) ?? workloads[0];
  return new GridError('update_unsupported', { type: changed?.type ?? 'deployment' });
}

function isAlive({ state }: { readonly state: string }): boolean {
  return state !== 'deleted' && state !== 'error';
}

/** The signed document with the state of each workload; what was removed is not in it. */
function currentDeployment(record: DeploymentRecord): DeploymentStruct {
  const document = parseDeployment(record.document);
  const states = new Map(record.workloads.map((workload) => [workload.name, workload]));
  const workloads = document.workloads.flatMap((workload) => {
    const state = states.get(workload.name);
    return state === undefined || state.state === 'deleted' ? [] : [withResult(workload, state)];
  });
  return deploymentToStruct({ ...document, workloads });
}

function withResult(
  workload: Workload,
  { state, message, data, created, version }: Omit<Change, 'workload'>,
): Workload {
  return { ...workload, version, result: { ...noResult(), state, message, data, created } };
}

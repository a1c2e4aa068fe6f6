/** Every twin's deployments, for the twins that the operator named. */

import { deploymentFromStruct, workloadFromStruct } from '../../provision/wire.ts';
import type { Deployment, Workload } from '../../schemas/index.ts';
import {
  debugDeploymentGet,
  debugDeploymentHealth,
  debugDeploymentHistory,
  debugDeploymentInfo,
  debugDeploymentList,
  GridError,
  isGridError,
  networkId,
  workloadId,
} from '../../schemas/index.ts';
import { revived } from './failures.ts';
import { type Call, handle } from './handler.ts';
import { checkWorkload } from './health-checks.ts';

const KEEP = { results: 'keep' } as const;
/** Twins whose deployments are read at once. */
const SIDE_BY_SIDE = 8;
/** Workloads that are checked at once: a daemon that hangs makes each of them last its whole time. */
const CHECKED_SIDE_BY_SIDE = 32;
/** Milliseconds that one question to a daemon may take. */
const QUESTION_MS = 10_000;
const NO_NETWORK_LOGS = "Network workloads don't support logs";
const MACHINES = ['zmachine', 'zmachine-light'];
const NETWORKS = ['network', 'network-light'];

export const debugHandlers = [
  handle(
    debugDeploymentList,
    async ({ twin_id }, call) => {
      const { node, signal, deadlineMs } = call;
      const twins = twin_id === 0 ? await node.provision.ListTwins({}, { signal, deadlineMs }) : [twin_id];
      const deployments: Deployment[] = [];
      const left = [...twins].sort((a, b) => a - b);
      while (left.length > 0) {
        const lists = await Promise.all(
          left.splice(0, SIDE_BY_SIDE).map((twin) => node.provision.List({ twin }, { signal, deadlineMs })),
        );
        deployments.push(...lists.flat().map((one) => deploymentFromStruct(one, KEEP)));
      }
      return {
        deployments: deployments.map(({ twin_id: twin, contract_id, workloads }) => ({
          twin_id: twin,
          contract_id,
          workloads: workloads.map(({ type, name, result }) => ({ type, name, state: result.state })),
        })),
      };
    },
    { mayBeEmpty: true },
  ),
  handle(debugDeploymentGet, async ({ deployment }, call) => ({ deployment: await readDeployment(deployment, call) })),
  handle(debugDeploymentHistory, async ({ deployment }, call) => {
    const { twin, contractID } = readIdentifier(deployment);
    const changes = await read(() =>
      call.node.provision.Changes({ twin, contractID }, { signal: call.signal, deadlineMs: call.deadlineMs }),
    );
    return {
      deployment,
      history: changes.map((change, index) => {
        const { type, name, result } = workloadFromStruct(change, KEEP);
        return { seq: index + 1, type, name, created: result.created, state: result.state, message: result.message };
      }),
    };
  }),
  handle(debugDeploymentInfo, async ({ deployment: identifier, workload: name, verbose }, call) => {
    const deployment = await readDeployment(identifier, call);
    if (name === '') throw new GridError('debug_workload_missing', {});
    const workload = deployment.workloads.find((one) => one.name === name);
    if (workload === undefined) throw new GridError('debug_workload_unknown', { got: name.slice(0, 160) });
    const { twin_id, contract_id } = deployment;
    const found = { workload_id: workloadId(twin_id, contract_id, name), type: workload.type, name };
    if (MACHINES.includes(workload.type)) return { ...found, ...(await machineInfo(found.workload_id, verbose, call)) };
    if (NETWORKS.includes(workload.type)) return { ...found, ...(await networkInfo(twin_id, workload, call)) };
    throw new GridError('debug_info_unsupported', { type: workload.type });
  }),
  handle(debugDeploymentHealth, async ({ deployment: identifier, options }, call) => {
    if (options !== undefined && options.system_probe !== '') throw new GridError('debug_probe_refused', {});
    if (identifier === '') throw new GridError('debug_health_of_what', {});
    const deployment = await readDeployment(identifier, call);
    const checked: Awaited<ReturnType<typeof checkWorkload>>[] = [];
    const left = [...deployment.workloads];
    while (left.length > 0) {
      const some = left.splice(0, CHECKED_SIDE_BY_SIDE).map((one) => checkWorkload(deployment, one, call));
      checked.push(...(await Promise.all(some)));
    }
    return {
      twin_id: deployment.twin_id,
      contract_id: deployment.contract_id,
      workloads: checked.filter((one) => one !== undefined),
    };
  }),
];

async function machineInfo(name: string, verbose: boolean, { node, signal }: Call) {
  const calling = { signal, deadlineMs: QUESTION_MS };
  const { HtEnabled, Memory, CPU } = await node.vmd.Inspect({ name }, calling).catch((error: unknown) => {
    throw new GridError('debug_inspect_failed', { reason: revived(error).message }, { cause: error });
  });
  const logs = await (verbose ? node.vmd.LogsFull({ name }, calling) : node.vmd.Logs({ name }, calling)).catch(
    (error: unknown) => {
      throw new GridError('debug_logs_failed', { reason: revived(error).message }, { cause: error });
    },
  );
  return { info: JSON.stringify({ HtEnabled, Memory, CPU }), logs };
}

async function networkInfo(twin: number, workload: Workload, { node, signal }: Call) {
  const id = networkId(twin, workload.name);
  const namespace = await node.network.Namespace({ id }, { signal, deadlineMs: QUESTION_MS });
  return {
    info: JSON.stringify({ net_id: id, namespace, state: workload.result.state }),
    logs: NO_NETWORK_LOGS,
  };
}

async function readDeployment(identifier: string, { node, signal, deadlineMs }: Call): Promise<Deployment> {
  const reference = readIdentifier(identifier);
  return deploymentFromStruct(await read(() => node.provision.Get(reference, { signal, deadlineMs })), KEEP);
}

async function read<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const known = revived(error);
    if (!isGridError(known, 'deployment_not_found')) throw error;
    throw new GridError('debug_deployment_unread', { reason: known.message }, { cause: error });
  }
}

/** `twin:contract`. */
function readIdentifier(text: string): { readonly twin: number; readonly contractID: bigint } {
  if (text === '') throw new GridError('debug_identifier_missing', {});
  const parts = text.split(':');
  const [twin = '', contract = ''] = parts;
  if (parts.length !== 2) throw new GridError('debug_identifier_form', { got: text.slice(0, 160) });
  const wrongTwin = problemOf(twin, 0xffff_ffffn);
  if (wrongTwin !== undefined)
    throw new GridError('debug_twin_invalid', { got: twin.slice(0, 160), reason: wrongTwin });
  const wrong = problemOf(contract, 0xffff_ffff_ffff_ffffn);
  if (wrong !== undefined)
    throw new GridError('debug_contract_invalid', { got: contract.slice(0, 160), reason: wrong });
  return { twin: Number(twin), contractID: BigInt(contract) };
}

/** Why Go reads no such number from a text. */
function problemOf(text: string, most: bigint): string | undefined {
  const parsing = `strconv.ParseUint: parsing ${JSON.stringify(text.slice(0, 64))}`;
  if (!/^\d+$/.test(text)) return `${parsing}: invalid syntax`;
  // Longer ones are above every bound.
  return text.replace(/^0+/, '').length > 20 || BigInt(text) > most ? `${parsing}: value out of range` : undefined;
}

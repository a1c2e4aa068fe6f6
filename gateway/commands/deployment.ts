import { deploymentFromStruct, deploymentToStruct, workloadFromStruct } from '../../provision/wire.ts';
import { GridError } from '../../schemas/errors/index.ts';
import {
  deploymentChanges,
  deploymentDelete,
  deploymentDeploy,
  deploymentGet,
  deploymentList,
  deploymentUpdate,
} from '../../schemas/index.ts';
import { handle } from './handler.ts';

/** provisiond's own answers are believed; a client's results never get this far. */
const KEEP = { results: 'keep' } as const;

export const deploymentHandlers = [
  handle(deploymentDeploy, async (deployment, { node, twin, signal, deadlineMs }) => {
    await node.provision.CreateOrUpdate(
      { twin, deployment: deploymentToStruct(deployment), update: false },
      { signal, deadlineMs },
    );
    return null;
  }),
  handle(deploymentUpdate, async (deployment, { node, twin, signal, deadlineMs }) => {
    await node.provision.CreateOrUpdate(
      { twin, deployment: deploymentToStruct(deployment), update: true },
      { signal, deadlineMs },
    );
    return null;
  }),
  handle(deploymentDelete, () => {
    throw new GridError('deployment_delete_disabled', {});
  }),
  handle(deploymentGet, async ({ contract_id }, { node, twin, signal, deadlineMs }) => {
    const found = await node.provision.Get({ twin, contractID: contract_id }, { signal, deadlineMs });
    return deploymentFromStruct(found, KEEP);
  }),
  handle(deploymentList, async (_input, { node, twin, signal, deadlineMs }) => {
    const found = await node.provision.List({ twin }, { signal, deadlineMs });
    return found.map((one) => deploymentFromStruct(one, KEEP));
  }),
  handle(deploymentChanges, async ({ contract_id }, { node, twin, signal, deadlineMs }) => {
    const found = await node.provision.Changes({ twin, contractID: contract_id }, { signal, deadlineMs });
    return found.map((one) => workloadFromStruct(one, KEEP));
  }),
];

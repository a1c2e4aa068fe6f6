/** zos.deployment.*: what a twin has on the node. */
import type { z } from 'zod';
import { Capacity } from '../capacity.ts';
import { Deployment, Workload } from '../deployment.ts';
import { described, list, optional, pointer, struct } from '../gojson/codec.ts';
import { bool, raw, text, uint32, uint64 } from '../gojson/values.ts';
import { CapacityReport } from './capacity.ts';
import { defineCommand, nothing } from './command.ts';
import { DeploymentOperation } from './operations.ts';

export const ContractReference = struct('args', {
  contract_id: described(uint64, 'node contract of the deployment'),
});

export const deploymentDeploy = defineCommand({
  name: 'zos.deployment.deploy',
  summary: 'Deploys a signed deployment on its node contract; answers once it is accepted.',
  caller: 'own',
  input: Deployment,
  output: nothing,
  errors: ['journal_unwritable'],
});

export const deploymentUpdate = defineCommand({
  name: 'zos.deployment.update',
  summary: 'Replaces a deployment of the caller by its next version; answers once it is accepted.',
  caller: 'own',
  input: Deployment,
  output: nothing,
  errors: ['journal_unwritable'],
});

export const deploymentDelete = defineCommand({
  name: 'zos.deployment.delete',
  summary: 'Always refused: a deployment leaves when its contract is cancelled on the chain.',
  caller: 'any',
  input: nothing,
  output: nothing,
  errors: ['deployment_delete_disabled'],
});

export const deploymentGet = defineCommand({
  name: 'zos.deployment.get',
  summary: 'One deployment of the caller with the latest result of each workload.',
  caller: 'own',
  input: ContractReference,
  output: Deployment,
  errors: ['deployment_not_found'],
});

export const deploymentList = defineCommand({
  name: 'zos.deployment.list',
  summary: 'Deployments of the caller with at least one workload that is neither deleted nor failed.',
  caller: 'own',
  input: nothing,
  output: list(Deployment),
});

export const deploymentChanges = defineCommand({
  name: 'zos.deployment.changes',
  summary: 'Every state change of a deployment, oldest first, as one full workload each.',
  caller: 'own',
  input: ContractReference,
  output: list(Workload),
  errors: ['deployment_not_found'],
});

export const PlanReason = struct(
  'gridnode.PlanReason',
  {
    code: described(text, 'code of the error table'),
    workload: described(text, 'workload it is about; empty for the deployment as a whole'),
    message: described(text, 'what happened, with the numbers'),
    remedy: described(text, 'what to do; empty where the message says it'),
    retryable: described(bool, 'whether the same deployment may be accepted later'),
    details: described(raw, "the error's details as the error table describes them"),
  },
  'Why a node would not accept a deployment now.',
);

export const PlannedWorkload = struct(
  'gridnode.PlannedWorkload',
  {
    name: described(text, 'name of the workload'),
    type: described(text, 'type of the workload'),
    action: described(text, '`add`, `update`, `remove` or `keep`'),
    needs: described(Capacity, 'what the workload takes of the node once it runs'),
    pool: described(text, 'storage pool of its disk or root file system; empty without one or where none fits'),
  },
  'What would happen to a workload.',
);

/** The decision that deploying would come to now, by the code that decides. */
export const Plan = struct(
  'gridnode.Plan',
  {
    fits: described(bool, 'whether the node would accept it now, the contract on the chain aside'),
    version: described(uint32, 'version of the deployment that was planned'),
    needs: described(Capacity, 'what all its workloads take together'),
    workloads: described(list(PlannedWorkload), 'in the order in which they would be worked on'),
    reasons: described(list(PlanReason), 'every reason against it; empty when it fits'),
    capacity: described(CapacityReport, "the node's capacity before it"),
  },
  'The decision that deploying would come to now.',
);
export type Plan = z.output<typeof Plan>;

export const deploymentPlan = defineCommand({
  name: 'zos.deployment.plan',
  summary: 'Dry run: what the node would decide on a deployment now, what it needs and every reason against it.',
  caller: 'own',
  input: Deployment,
  output: Plan,
  errors: ['capacity_unknown'],
});

/** Seconds that a wait lasts when the client names none, and at most. */
export const WAIT_SECONDS = { usual: 15, most: 50 } as const;

export const WaitRequest = struct('args', {
  contract_id: described(uint64, 'node contract of the deployment'),
  version: described(
    optional(uint32),
    'version of the deployment that is awaited; left out or 0 stands for the one that the node has',
  ),
  timeout_seconds: described(
    optional(uint32),
    `seconds to wait at most; 0 stands for ${WAIT_SECONDS.usual}, more than ${WAIT_SECONDS.most} for ${WAIT_SECONDS.most}`,
  ),
});

export const WaitedWorkload = struct(
  'gridnode.WaitedWorkload',
  {
    name: described(text, 'name of the workload'),
    type: described(text, 'type of the workload'),
    version: described(uint32, 'version that the state is of'),
    state: described(text, '`init`, `ok`, `error`, `paused`, `deleted` or `unchanged`'),
    message: described(text, 'why, where it failed or was left as it was; else empty'),
  },
  'How far a workload has come.',
);

export const WaitReport = struct(
  'gridnode.WaitReport',
  {
    settled: described(bool, 'whether nothing of that version is left to do; else ask again'),
    ok: described(bool, 'whether it settled and every workload is as the version wants it'),
    version: described(uint32, 'version of the deployment on the node'),
    step: described(text, 'what the node works on now, empty when settled'),
    workloads: described(list(WaitedWorkload), 'how far each has come, also those that the version removed'),
    operation: described(
      pointer(DeploymentOperation),
      'what the node works on for the deployment, or was asked last; left out where nothing is known of it any more',
    ),
  },
  'How far a version of a deployment has come.',
);
export type WaitReport = z.output<typeof WaitReport>;

export const deploymentWait = defineCommand({
  name: 'zos.deployment.wait',
  summary: 'Answers as soon as a version of a deployment has settled, or when the time to wait is over.',
  caller: 'own',
  input: WaitRequest,
  output: WaitReport,
  errors: ['deployment_not_found', 'wait_ended'],
});

/** zos.deployment.*: what a twin has on the node. */
import { Deployment, Workload } from '../deployment.ts';
import { list, struct } from '../gojson/codec.ts';
import { uint64 } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const ContractReference = struct('args', { contract_id: uint64 });

export const deploymentDeploy = defineCommand({
  name: 'zos.deployment.deploy',
  summary: 'Deploys a signed deployment on its node contract; answers once it is accepted.',
  caller: 'own',
  input: Deployment,
  output: nothing,
});

export const deploymentGet = defineCommand({
  name: 'zos.deployment.get',
  summary: 'One deployment of the caller with the latest result of each workload.',
  caller: 'own',
  input: ContractReference,
  output: Deployment,
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
});

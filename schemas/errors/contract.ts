/** Refusals of what the chain does not cover, and of deployments in the wrong state. Numbers 2100 to 2199. */
import { z } from 'zod';
import { entry } from './table.ts';

const contract = z.string();
const twin = z.int().nonnegative();
const node = z.int().nonnegative();

export const contractErrors = {
  contract_unreadable: entry({
    number: 2100,
    stage: 'contract',
    fault: 'node',
    retryable: true,
    details: z.object({ contract, reason: z.string() }),
    message: (d) => `failed to get deployment contract: contract ${d.contract} could not be read: ${d.reason}`,
    remedy: 'try again; nothing was changed',
  }),
  contract_unknown: entry({
    number: 2101,
    stage: 'contract',
    fault: 'caller',
    retryable: true,
    details: z.object({ contract, waitedMs: z.int().nonnegative(), block: z.int().nonnegative() }),
    message: (d) =>
      `failed to get deployment contract: contract ${d.contract} is not on the chain (looked for ${d.waitedMs} ms, up to block ${d.block})`,
    remedy: 'send the deployment after the contract is in a block',
  }),
  contract_kind: entry({
    number: 2102,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ contract, kind: z.string() }),
    message: (d) => `invalid contract type, expecting node contract (contract ${d.contract} is a ${d.kind} contract)`,
  }),
  contract_node: entry({
    number: 2103,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ contract, expected: node, actual: node }),
    message: (d) =>
      `invalid node address in contract (contract ${d.contract} is for node ${d.actual}, this is node ${d.expected})`,
  }),
  contract_twin: entry({
    number: 2104,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ contract, expected: twin, actual: twin }),
    message: (d) =>
      `contract ${d.contract} belongs to twin ${d.actual}, the deployment to twin ${d.expected}; the node serves a contract's owner only`,
  }),
  contract_state: entry({
    number: 2105,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ contract, state: z.string() }),
    message: (d) => `contract ${d.contract} is in state '${d.state}', a deployment needs one in state 'created'`,
    remedy: 'in the grace period: fund the account first',
  }),
  contract_hash: entry({
    number: 2106,
    stage: 'contract',
    fault: 'caller',
    retryable: true,
    details: z.object({ contract, expected: z.string(), actual: z.string() }),
    message: (d) =>
      `contract hash does not match deployment hash (contract ${d.contract} has '${d.actual}', the deployment '${d.expected}')`,
  }),
  contract_rented: entry({
    number: 2107,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ rentedBy: twin, twin }),
    message: (d) => `the node is rented by twin ${d.rentedBy}, twin ${d.twin} can not deploy on it`,
  }),
  twin_unreadable: entry({
    number: 2110,
    stage: 'contract',
    fault: 'node',
    retryable: true,
    details: z.object({ twin, reason: z.string() }),
    message: (d) => `failed to get public key for twin '${d.twin}': ${d.reason}`,
  }),
  twin_unverified: entry({
    number: 2111,
    stage: 'contract',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin }),
    // Existing clients know this sentence.
    message: (d) => `user with twin id ${d.twin} is not verified`,
  }),
  twin_verification_failed: entry({
    number: 2112,
    stage: 'contract',
    fault: 'node',
    retryable: true,
    details: z.object({ reason: z.string() }),
    message: (d) => `failed to get twin verification status: ${d.reason}`,
  }),
  deployment_twin: entry({
    number: 2120,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ deployment: twin, message: twin }),
    // Existing clients know this sentence.
    message: (d) => `twin id mismatch (deployment: ${d.deployment}, message: ${d.message})`,
  }),
  deployment_version: entry({
    number: 2121,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ version: z.int().nonnegative() }),
    message: () => 'expected version to be 0 on deployment creation: invalid version',
  }),
  deployment_exists: entry({
    number: 2122,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, contract }),
    // Clients look for the word; the Go node answers it alone.
    message: () => 'exists',
  }),
  deployment_not_found: entry({
    number: 2123,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, contract }),
    message: () => 'deployment not found',
  }),
  deployment_to_update_missing: entry({
    number: 2124,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, contract, isTwinKnown: z.boolean() }),
    message: (d) => `${d.isTwinKnown ? 'deployment' : 'twin'} not found: deployment does not exist`,
  }),
  deployment_busy: entry({
    number: 2125,
    stage: 'deployment',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin, contract, phase: z.string() }),
    message: (d) => `deployment of contract ${d.contract} is ${d.phase}`,
    remedy: 'try again when that has ended',
  }),
  upgrade_invalid: entry({
    number: 2127,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ reason: z.string() }),
    message: (d) => `${d.reason}: upgrade validation error`,
  }),
  deployment_delete_disabled: entry({
    number: 2128,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({}),
    message: () => 'deletion over the api is disabled, please cancel your contract instead',
  }),
  wait_ended: entry({
    number: 2129,
    stage: 'host',
    fault: 'node',
    retryable: true,
    details: z.object({ contract }),
    message: (d) => `the node's deployments service stops, waiting for contract ${d.contract} ended`,
    remedy: 'wait again; what was accepted goes on',
  }),
  dependency_failed: entry({
    number: 2130,
    stage: 'deployment',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), dependency: z.string(), reason: z.string() }),
    message: (d) =>
      `invalid disk '${d.dependency}' state (workload '${d.workload}' needs '${d.dependency}': ${d.reason})`,
  }),
  step_failed: entry({
    number: 2131,
    stage: 'deployment',
    fault: 'node',
    retryable: false,
    details: z.object({
      workload: z.string(),
      step: z.string(),
      stage: z.string(),
      attempts: z.int().positive(),
      elapsedMs: z.int().nonnegative(),
      reason: z.string(),
    }),
    message: (d) =>
      `${d.reason} (stage ${d.stage}, step '${d.step}' of workload '${d.workload}', attempts: ${d.attempts} in ${d.elapsedMs} ms)`,
  }),
  contract_data_too_long: entry({
    number: 2134,
    stage: 'contract',
    fault: 'caller',
    retryable: false,
    details: z.object({ bytes: z.int(), limit: z.int() }),
    message: (d) => `data of a contract has ${d.bytes} bytes, the chain takes ${d.limit}`,
    remedy: 'shorten its name or project name; longer text belongs into the metadata of the deployment',
  }),
  vm_mode_unsupported: entry({
    number: 2132,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string() }),
    message: (d) =>
      `workload '${d.workload}': the flist holds /image.raw, this node boots flists in container mode only`,
    remedy: 'use an flist with a root file system',
  }),
  image_link_refused: entry({
    number: 2133,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), path: z.string() }),
    message: (d) =>
      `workload '${d.workload}': '${d.path}' of the flist is a link or not a regular file, it is not followed on the node`,
  }),
} as const;

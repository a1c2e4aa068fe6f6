/** Deployments as they cross the bus (Go's structs) and as the schemas have them. */
import type { Infer } from '../modules/zbus/wire.ts';
import type { Deployment, Result, Workload } from '../schemas/deployment.ts';
import { noResult } from '../schemas/deployment.ts';
import type { Deployment as WireDeployment, Workload as WireWorkload } from './interface.ts';

export type DeploymentStruct = Infer<typeof WireDeployment>;
export type WorkloadStruct = Infer<typeof WireWorkload>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** To the bus. Workload data and results keep their bytes. */
export function deploymentToStruct(deployment: Deployment): DeploymentStruct {
  const { signature_requirement: requirement } = deployment;
  return {
    Version: deployment.version,
    TwinID: deployment.twin_id,
    ContractID: deployment.contract_id,
    Metadata: deployment.metadata,
    Description: deployment.description,
    Expiration: deployment.expiration,
    SignatureRequirement: {
      Requests: requirement.requests.map(({ twin_id, required, weight }) => ({
        TwinID: twin_id,
        Required: required,
        Weight: weight,
      })),
      WeightRequired: requirement.weight_required,
      Signatures: requirement.signatures.map(({ twin_id, signature, signature_type }) => ({
        TwinID: twin_id,
        Signature: signature,
        SignatureType: signature_type,
      })),
      SignatureStyle: requirement.signature_style,
    },
    Workloads: deployment.workloads.map(workloadToStruct),
  };
}

export function workloadToStruct(workload: Workload): WorkloadStruct {
  return {
    Version: workload.version,
    Name: workload.name,
    Type: workload.type,
    Data: rawMessage(workload.data),
    Metadata: workload.metadata,
    Description: workload.description,
    Result: {
      Created: workload.result.created,
      State: workload.result.state,
      Error: workload.result.message,
      Data: rawMessage(workload.result.data),
    },
  };
}

export interface FromStructOptions {
  /** What becomes of results: a node drops what clients claim, a client keeps what the node answers. */
  readonly results: 'drop' | 'keep';
}

/** From the bus. Throws when data is not UTF-8. */
export function deploymentFromStruct(struct: DeploymentStruct, options: FromStructOptions): Deployment {
  const requirement = struct.SignatureRequirement;
  return {
    version: struct.Version,
    twin_id: struct.TwinID,
    contract_id: struct.ContractID,
    metadata: struct.Metadata,
    description: struct.Description,
    expiration: struct.Expiration,
    signature_requirement: {
      requests: requirement.Requests.map(({ TwinID, Required, Weight }) => ({
        twin_id: TwinID,
        required: Required,
        weight: Weight,
      })),
      weight_required: requirement.WeightRequired,
      signatures: requirement.Signatures.map(({ TwinID, Signature, SignatureType }) => ({
        twin_id: TwinID,
        signature: Signature,
        signature_type: SignatureType,
      })),
      signature_style: requirement.SignatureStyle,
    },
    workloads: struct.Workloads.map((workload) => workloadFromStruct(workload, options)),
  };
}

export function workloadFromStruct(struct: WorkloadStruct, { results }: FromStructOptions): Workload {
  return {
    version: struct.Version,
    name: struct.Name,
    type: struct.Type,
    data: text(struct.Data),
    metadata: struct.Metadata,
    description: struct.Description,
    result: results === 'drop' ? noResult() : resultFromStruct(struct.Result),
  };
}

function resultFromStruct({ Created, State, Error: message, Data }: WorkloadStruct['Result']): Result {
  return { created: Created, state: State, message, data: text(Data) };
}

/** Go writes a nil message as `null` and can not write an empty one. */
function rawMessage(json: string): Uint8Array | null {
  return json === '' ? null : encoder.encode(json);
}

function text(bytes: Uint8Array | null): string {
  return bytes === null ? '' : decoder.decode(bytes);
}

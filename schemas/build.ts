/** Making deployments in code: what a client writes before it signs. */
import type { z } from 'zod';
import { type Deployment, noResult, type Workload } from './deployment.ts';
import { encode } from './gojson/codec.ts';
import type { WorkloadType } from './workloads/type.ts';

/** A workload of a type from its data; absent optional fields become zero. Throws zod's error for data that is not the type's. */
export function buildWorkload<S extends z.ZodType>(
  type: WorkloadType<S>,
  name: string,
  data: z.input<S>,
  {
    version = 0,
    metadata = '',
    description = '',
  }: Partial<Pick<Workload, 'version' | 'metadata' | 'description'>> = {},
): Workload {
  const text = encode(type.data, type.data.parse(data));
  return { version, name, type: type.name, data: text, metadata, description, result: noResult() };
}

export interface DeploymentParts {
  readonly twinId: number;
  readonly workloads: readonly Workload[];
  readonly contractId?: bigint;
  readonly version?: number;
  readonly metadata?: string;
  readonly description?: string;
}

/** A deployment that its twin alone must sign; not signed yet. */
export function buildDeployment(parts: DeploymentParts): Deployment {
  const { twinId, workloads, contractId = 0n, version = 0, metadata = '', description = '' } = parts;
  return {
    version,
    twin_id: twinId,
    contract_id: contractId,
    metadata,
    description,
    expiration: 0,
    signature_requirement: {
      requests: [{ twin_id: twinId, required: false, weight: 1 }],
      weight_required: 1,
      signatures: [],
      signature_style: '',
    },
    workloads: [...workloads],
  };
}

/** The deployment with a twin's signature (64 bytes) over `signedMessage`; replaces an earlier one of that twin. */
export function withSignature(
  deployment: Deployment,
  twinId: number,
  type: 'ed25519' | 'sr25519',
  signature: Uint8Array,
): Deployment {
  const hex = Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const { signature_requirement: requirement } = deployment;
  const others = requirement.signatures.filter((other) => other.twin_id !== twinId);
  const signatures = [...others, { twin_id: twinId, signature: hex, signature_type: type }];
  return { ...deployment, signature_requirement: { ...requirement, signatures } };
}

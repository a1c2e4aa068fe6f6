/** Deployments as clients sign them and nodes store them: shape, reading, writing. */
import type { z } from 'zod';
import { GridError } from './errors/index.ts';
import { decode, encode, list, optional, struct } from './gojson/codec.ts';
import { DecodeProblem } from './gojson/problem.ts';
import { bool, raw, text, timestamp, uint, uint32, uint64 } from './gojson/values.ts';

/** A deployment's JSON text may have this many bytes. */
export const MAX_DEPLOYMENT_BYTES = 1024 * 1024;

/** States of a workload. A fresh client object has none (`''`). */
export const resultStates = ['init', 'ok', 'error', 'deleted', 'paused', 'unchanged'] as const;
export type ResultState = (typeof resultStates)[number];

export const Result = struct('gridtypes.Result', {
  /** Unix seconds. */
  created: optional(timestamp),
  state: optional(text),
  /** Empty on success. */
  message: optional(text),
  /** JSON text of the type's result, `''` when there is none. */
  data: optional(raw),
});
export type Result = z.output<typeof Result>;

export const Workload = struct('gridtypes.Workload', {
  version: uint32,
  name: text,
  type: text,
  /** JSON text exactly as the client sent it, `''` when it sent none. */
  data: raw,
  metadata: optional(text),
  description: optional(text),
  result: optional(Result),
});
export type Workload = z.output<typeof Workload>;

export const SignatureRequest = struct('gridtypes.SignatureRequest', {
  twin_id: uint32,
  required: optional(bool),
  weight: optional(uint),
});

export const Signature = struct('gridtypes.Signature', {
  twin_id: uint32,
  /** 64 bytes, hex without `0x`. */
  signature: text,
  /** `sr25519`; anything else means ed25519. */
  signature_type: optional(text),
});

export const SignatureRequirement = struct('gridtypes.SignatureRequirement', {
  requests: list(SignatureRequest),
  weight_required: optional(uint),
  signatures: list(Signature),
  /** `''` or `polka-wallet`. */
  signature_style: optional(text),
});
export type SignatureRequirement = z.output<typeof SignatureRequirement>;

export const Deployment = struct('gridtypes.Deployment', {
  version: uint32,
  twin_id: uint32,
  /** Node contract on chain; not part of the hash. */
  contract_id: uint64,
  metadata: optional(text),
  description: optional(text),
  /** Unix seconds; deprecated, still hashed. */
  expiration: optional(timestamp),
  signature_requirement: SignatureRequirement,
  /** Order is part of the hash. */
  workloads: list(Workload),
});
export type Deployment = z.output<typeof Deployment>;

export interface ParseOptions {
  /** What becomes of `result` in the text: a node drops what clients claim, a client keeps what nodes answer. */
  readonly results?: 'drop' | 'keep';
}

/**
 * Reads a deployment from its JSON text or UTF-8 bytes as nodes do, without loss. Throws `GridError`
 * `deployment_too_large`, `deployment_too_deep`, `deployment_syntax` or `deployment_field`.
 */
export function parseDeployment(source: string | Uint8Array, { results = 'drop' }: ParseOptions = {}): Deployment {
  const deployment = decodeOrRefuse(Deployment, source, 'Deployment', MAX_DEPLOYMENT_BYTES);
  if (results === 'drop') for (const workload of deployment.workloads) workload.result = noResult();
  return deployment;
}

/** Reads JSON text into a schema of this folder; refusals are those of `parseDeployment`. */
export function decodeOrRefuse<S extends z.ZodType>(
  schema: S,
  source: string | Uint8Array,
  struct: string,
  maxBytes: number,
): z.output<S> {
  try {
    return decode(schema, source, { struct, maxBytes });
  } catch (error) {
    if (!(error instanceof DecodeProblem)) throw error;
    const { found = 0, allowed = 0 } = error.limit ?? {};
    if (error.kind === 'size') throw new GridError('deployment_too_large', { bytes: found, limit: allowed });
    if (error.kind === 'depth') throw new GridError('deployment_too_deep', { depth: found, limit: allowed });
    if (error.kind === 'syntax') throw new GridError('deployment_syntax', { reason: error.message });
    throw new GridError('deployment_field', { field: error.field, reason: error.message });
  }
}

/** The JSON text nodes answer with; `data` verbatim, `contract_id` as a JSON integer. */
export function formatDeployment(deployment: Deployment): string {
  return encode(Deployment, deployment);
}

/** One workload as it appears in a deployment and in the list of changes. */
export function formatWorkload(workload: Workload): string {
  return encode(Workload, workload);
}

/** The result of a workload that has none yet. */
export function noResult(): Result {
  return { created: 0, state: '', message: '', data: '' };
}

/** The first workload of that name. */
export function findWorkload(deployment: Deployment, name: string): Workload | undefined {
  return deployment.workloads.find((workload) => workload.name === name);
}

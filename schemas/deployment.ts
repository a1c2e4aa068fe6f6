/** Deployments as clients sign them and nodes store them: shape, reading, writing. */
import type { z } from 'zod';
import { workloadData } from './data.ts';
import { GridError } from './errors/index.ts';
import { decode, described, encode, list, optional, struct } from './gojson/codec.ts';
import { DecodeProblem } from './gojson/problem.ts';
import { bool, raw, text, timestamp, uint, uint32, uint64 } from './gojson/values.ts';

/** A deployment's JSON text may have this many bytes. */
export const MAX_DEPLOYMENT_BYTES = 1024 * 1024;

/** A deployment may have this many workloads: each takes a node's time. */
export const MAX_WORKLOADS = 256;

/** States of a workload. A fresh client object has none (`''`). */
export const resultStates = ['init', 'ok', 'error', 'deleted', 'paused', 'unchanged'] as const;
export type ResultState = (typeof resultStates)[number];

export const Result = struct(
  'gridtypes.Result',
  {
    created: optional(described(timestamp, 'Unix seconds')),
    state: optional(described(text, 'init, ok, error, deleted, paused or unchanged; empty in what clients send')),
    message: optional(described(text, 'empty on success')),
    /** JSON text of the type's result, `''` when there is none. */
    data: optional(described(raw, "any JSON: the type's result in state ok, parts of it or null in others")),
  },
  'What became of a workload.',
);
export type Result = z.output<typeof Result>;

export const Workload = struct(
  'gridtypes.Workload',
  {
    version: described(uint32, "the deployment's version at which this workload changed last"),
    name: described(text, '1 to 36 of a-z, A-Z, 0-9 and _, unique in the deployment; not `ygg`', {
      pattern: '^[a-zA-Z0-9_]{1,36}$',
    }),
    type: described(text, 'which kind of thing; `data` follows from it'),
    /** JSON text exactly as the client sent it, `''` when it sent none. */
    data: described(workloadData, 'what the type asks for; kept as it was sent, unknown keys with it', {
      type: ['object', 'null'],
    }),
    metadata: optional(described(text, 'free text, part of the hash')),
    description: optional(described(text, 'free text, part of the hash')),
    result: optional(described(Result, 'written by the node, ignored in what clients send')),
  },
  'One thing a node runs for a twin.',
);
export type Workload = z.output<typeof Workload>;

export const SignatureRequest = struct(
  'gridtypes.SignatureRequest',
  {
    twin_id: described(uint32, 'who is asked'),
    required: optional(described(bool, "the deployment's own twin always is")),
    weight: optional(described(uint, 'what its signature counts towards `weight_required`')),
  },
  'A twin that is asked to sign.',
);

export const Signature = struct(
  'gridtypes.Signature',
  {
    twin_id: described(uint32, 'who signed'),
    signature: described(text, '64 bytes, hex without `0x`'),
    signature_type: optional(described(text, '`sr25519`; anything else means ed25519')),
  },
  "A twin's signature.",
);

export const SignatureRequirement = struct(
  'gridtypes.SignatureRequirement',
  {
    requests: described(list(SignatureRequest), 'who is asked to sign; each of them must'),
    weight_required: optional(described(uint, 'what the weights of the signers must come to')),
    signatures: described(list(Signature), 'the first of a twin counts'),
    signature_style: optional(
      described(text, 'empty, or `polka-wallet`: the hex of the hash in <Bytes> tags is signed'),
    ),
  },
  'Who must have signed, and who did.',
);
export type SignatureRequirement = z.output<typeof SignatureRequirement>;

export const Deployment = struct(
  'gridtypes.Deployment',
  {
    version: described(uint32, '0 at first, one more with each update'),
    twin_id: described(uint32, 'who deploys'),
    contract_id: described(uint64, 'node contract on the chain; not part of the hash'),
    metadata: optional(described(text, 'free text; the chain takes 512 bytes of it')),
    description: optional(described(text, 'free text, part of the hash')),
    expiration: optional(described(timestamp, 'Unix seconds or RFC 3339; deprecated, still part of the hash')),
    signature_requirement: described(SignatureRequirement, 'who signs'),
    workloads: described(list(Workload), 'their order is part of the hash', { maxItems: MAX_WORKLOADS }),
  },
  'What a twin wants on one node for one contract. Keys are read in any case; unknown ones are left alone.',
);
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

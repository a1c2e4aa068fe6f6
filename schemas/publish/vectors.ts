/** `schemas/vectors/`: what authors test their own code against, in files of one question each. */
import { z } from 'zod';
import { type GoldenVectors, type Signed, signedFields } from './golden.ts';
import type { JsonSchema } from './json-schema.ts';
import { badInputVectors, lightNetworkVectors, normalisationVectors } from './vector-cases.ts';

const name = z.string().meta({ description: 'name of the case, unique in the file' });
const note = z.string().meta({ description: 'what the case is about' });
const hash = z.string().regex(/^[0-9a-f]{32}$/);
const deployment = z
  .record(z.string(), z.unknown())
  .meta({ description: 'a deployment as a client sends it: serialise it and feed it to your reader' });
const outcome = {
  ok: z.boolean().meta({ description: 'whether a node accepts it' }),
  error: z.string().optional().meta({ description: 'the exact text a node answers, if it does not' }),
  go_text: z
    .boolean()
    .optional()
    .meta({ description: "the text embeds a sentence of Go's library: compare whether you refuse, not the text" }),
};

/** A file of cases: what it is about and what each case holds. */
function file<S extends z.ZodRawShape>(description: string, shape: S) {
  return {
    description,
    schema: z.object({ $schema: z.string(), description: z.string(), ...shape }).meta({ description }),
  };
}

const files = {
  challenge: file(
    'Feed `deployment`; compare `pieces`, `challenge`, `hash`, `message` and `needs`; verify `signatures`.',
    {
      keys: z.array(signedFields.key).meta({ description: 'the signers; both key types come of the same seed' }),
      cases: z
        .array(
          z.object({
            name,
            note,
            deployment,
            pieces: z
              .array(z.tuple([z.string(), z.string()]))
              .meta({ description: 'path and text of each part of the challenge, in order' }),
            challenge: z.string().meta({ description: 'the texts joined without separators, hashed as UTF-8' }),
            hash: hash.meta({ description: 'MD5 of it, lower-case hex: the 32 characters a node contract carries' }),
            contract_hash: z.string().meta({ description: 'those characters as `create_node_contract` takes them' }),
            message: z.string().meta({ description: 'the bytes to sign, hex' }),
            signatures: z
              .array(signedFields.signature)
              .meta({ description: 'right ones: ed25519 compares byte by byte, sr25519 is random and verifies only' }),
            needs: z.record(z.string(), z.int()).meta({ description: 'capacity all workloads take: counts and bytes' }),
            differs: z
              .record(z.string(), z.string())
              .optional()
              .meta({ description: 'what @threefold/grid_client 2.9.2 makes of it instead' }),
          }),
        )
        .meta({ description: 'right deployments' }),
    },
  ),
  normalisation: file('Feed `given` where a deployment has a value of `kind`; compare the text that is hashed.', {
    cases: z
      .array(
        z.object({
          kind: z.enum(['address', 'prefix', 'hex', 'time']).meta({ description: 'type of the value' }),
          given: z.string().meta({ description: 'as a client sends it' }),
          hashed: z.string().nullable().meta({ description: 'as it is hashed; null: nodes refuse it' }),
        }),
      )
      .meta({ description: 'values' }),
  }),
  'light-networks': file(
    'Feed `deployment` and `contract_hash`; say which formula of a light network made that hash.',
    {
      cases: z
        .array(
          z.object({
            name,
            note,
            deployment,
            hashes: z
              .object({ current: hash, 'before-wireguard': hash })
              .meta({ description: 'the hash by each formula: of nodes since September 2025, and of those before' }),
            contract_hash: hash.meta({ description: 'what a contract carries' }),
            formula: z
              .enum(['current', 'before-wireguard'])
              .nullable()
              .meta({ description: 'the formula that matches it; null: none, the node refuses' }),
          }),
        )
        .meta({ description: 'contracts' }),
    },
  ),
  ids: file('Feed the parts; compare `id`: names that nodes give to networks and devices.', {
    cases: z
      .array(
        z.object({
          kind: z.enum(['network', 'workload_unique']).meta({ description: 'whose name it is' }),
          parts: z.array(z.string()).meta({ description: 'twin and network, or workload id and part' }),
          md5_input: z.string().meta({ description: 'the parts as they are hashed' }),
          id: z.string().meta({ description: 'base58 of the MD5, its first 13 characters' }),
        }),
      )
      .meta({ description: 'names' }),
  }),
  validation: file('Feed `deployment`; compare whether its structure is accepted, and the text.', {
    cases: z.array(z.object({ name, deployment, ...outcome })).meta({ description: 'rules of the structure' }),
  }),
  signatures: file('Feed `deployment` and the keys; compare whether its signatures are accepted, and the text.', {
    keys: z.array(signedFields.key).meta({ description: 'the signers' }),
    cases: z.array(z.object({ name, deployment, ...outcome })).meta({ description: 'rules of signing' }),
  }),
  updates: file('Feed both deployments; compare whether the update is accepted, the operations, and the text.', {
    cases: z
      .array(
        z.object({
          name,
          from: deployment.meta({ description: 'the deployment that runs' }),
          deployment: deployment.meta({ description: 'the one that is to replace it' }),
          ...outcome,
          operations: z
            .array(z.string())
            .optional()
            .meta({ description: 'what it comes to, in the order of the alphabet' }),
        }),
      )
      .meta({ description: 'rules of updates' }),
  }),
  'bad-input': file(
    'Join `parts`, each repeated; feed the text to your reader: it is refused, quickly and in little memory.',
    {
      cases: z
        .array(
          z.object({
            name,
            parts: z
              .array(z.tuple([z.string(), z.int().positive()]))
              .meta({ description: 'texts, each with how many times it stands there' }),
            code: z.string().meta({ description: 'code of the error in the error table' }),
            says: z.string().meta({ description: "part of this node's text" }),
          }),
        )
        .meta({ description: 'texts of hostile or broken clients' }),
    },
  ),
} as const;

export type VectorFile = keyof typeof files;
export const vectorFileNames = Object.keys(files) as VectorFile[];

/** What a file of vectors holds, by its name. */
export type Vectors<F extends VectorFile> = z.output<(typeof files)[F]['schema']>;

/** JSON Schema of each file of vectors. */
export function vectorSchemas(): Record<VectorFile, JsonSchema> {
  const made = vectorFileNames.map((file) => {
    const { $schema: _dialect, ...json } = z.toJSONSchema(files[file].schema, { io: 'input' });
    return [file, { title: `vectors: ${file}`, ...json }];
  });
  return Object.fromEntries(made);
}

/** Every file of vectors from the golden ones and from rules; throws where one is not of its schema. */
export function vectorFiles(golden: GoldenVectors): { [F in VectorFile]: Vectors<F> } {
  const rules = (kind: string) => golden.edge_cases.filter((edge) => edge.kind === kind);
  const cases = {
    challenge: { keys: golden.keys, cases: golden.cases.map(challengeCase) },
    normalisation: { cases: normalisationVectors },
    'light-networks': { cases: lightNetworkVectors },
    ids: {
      cases: golden.ids.map(({ kind, twin_id, name: network, workload_id, n, md5_input, id }) => {
        return { kind, parts: kind === 'network' ? [String(twin_id), network] : [workload_id, n], md5_input, id };
      }),
    },
    validation: {
      cases: rules('valid').map(({ name, deployment, expect }) => ({ name, deployment, ...said(expect) })),
    },
    signatures: {
      keys: golden.keys,
      cases: rules('verify').map(({ name, deployment, expect }) => ({ name, deployment, ...said(expect) })),
    },
    updates: {
      cases: [
        ...golden.cases.flatMap(({ name, upgrade_from, deployment, upgrade }) =>
          upgrade === undefined
            ? []
            : [{ name, from: upgrade_from, deployment, ok: true, operations: upgrade.operations }],
        ),
        ...rules('upgrade').map(({ name, upgrade_from, deployment, expect }) => {
          const { operations } = expect;
          return {
            name,
            from: upgrade_from,
            deployment,
            ...said(expect),
            ...(operations === undefined ? {} : { operations }),
          };
        }),
      ],
    },
    'bad-input': { cases: badInputVectors },
  };
  const made = vectorFileNames.map((file) => {
    const { description, schema } = files[file];
    return [file, schema.parse({ $schema: `./${file}.schema.json`, description, ...cases[file] })];
  });
  return Object.fromEntries(made) as { [F in VectorFile]: Vectors<F> };
}

function said({ ok = false, error, language_specific_text }: GoldenVectors['edge_cases'][number]['expect']) {
  return { ok, ...(error === undefined ? {} : { error }), ...(language_specific_text ? { go_text: true } : {}) };
}

function challengeCase(golden: Signed) {
  const { name, note, deployment, pieces, challenge, hash_hex, chain_deployment_hash, message_to_sign_hex } = golden;
  const differs = golden.ts_client_2_9_2;
  return {
    name,
    note,
    deployment,
    pieces,
    challenge,
    hash: hash_hex,
    contract_hash: chain_deployment_hash,
    message: message_to_sign_hex,
    signatures: [...golden.signatures_ed25519, ...golden.signatures_sr25519_sample],
    needs: golden.node_capacity,
    ...(differs === undefined ? {} : { differs }),
  };
}

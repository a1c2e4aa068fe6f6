/** Every generated file of this folder: path from the project's root, and its text. */
import { readFileSync } from 'node:fs';
import { Capacity } from '../capacity.ts';
import { commands } from '../commands/index.ts';
import { ContractData, NetworkMetadata, NodeContract } from '../contract.ts';
import { Deployment, Result, Workload } from '../deployment.ts';
import { workloadTypes } from '../workloads/index.ts';
import { apiPages } from './api-pages.ts';
import { errorDetails } from './error-details.ts';
import { errorsPage } from './errors-page.ts';
import type { GoldenVectors } from './golden.ts';
import { type JsonSchema, Publication } from './json-schema.ts';
import { openrpc } from './openrpc.ts';
import { recordedExamples } from './recorded.ts';
import { vectorFiles, vectorSchemas } from './vectors.ts';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Name of all schemas together; its last part is the version that the promise of `docs/schemas.md` is about. */
export const SCHEMA_ID = 'urn:gridnode:schema:v1';

export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  const add = (path: string, name: string, schema: JsonSchema) => {
    const $id = name === '' ? SCHEMA_ID : `${SCHEMA_ID}:${name}`;
    files.set(`schemas/json/${path}.schema.json`, jsonText({ $schema: DIALECT, $id, ...schema }));
  };
  add('gridnode', '', {
    title: 'gridnode',
    description:
      "Every type of a node's interface as nodes accept and answer it. A value of this schema itself is a deployment; the other types are in `$defs`.",
    $ref: '#/$defs/Deployment',
    $defs: new Publication('accepted').definitions(),
  });
  add('types', 'types', {
    title: 'gridnode types',
    description:
      'The same types as nodes and proper clients write them, for programs that make code of them. Less is tolerated here than nodes tolerate.',
    $ref: '#/$defs/Deployment',
    $defs: new Publication('written').definitions(),
  });
  const shared = new Publication('accepted', (name) => `${SCHEMA_ID}#/$defs/${name}`);
  add('deployment', 'deployment', { title: 'deployment', ...shared.request(Deployment) });
  add('workload', 'workload', { title: 'workload', ...shared.request(Workload) });
  add('result', 'result', { title: 'result', ...shared.answer(Result) });
  add('capacity', 'capacity', { title: 'capacity', ...shared.answer(Capacity) });
  add('node-contract', 'node-contract', { title: 'node contract', ...shared.request(NodeContract) });
  add('contract-data', 'contract-data', { title: 'data of a contract', ...shared.request(ContractData) });
  const networkMetadata = shared.request(NetworkMetadata);
  add('network-metadata', 'network-metadata', { title: 'metadata of a network', ...networkMetadata });
  for (const { name, summary, data, result } of workloadTypes) {
    add(`workloads/${name}`, `workloads:${name}`, { title: name, description: summary, ...shared.request(data) });
    if (result === undefined) continue;
    const title = `result of ${name}`;
    add(`workloads/${name}.result`, `workloads:${name}.result`, { title, ...shared.answer(result) });
  }
  for (const { name, summary, caller, input, output } of commands) {
    add(`commands/${name}`, `commands:${name}`, {
      title: name,
      description: summary,
      $comment: `caller: ${caller}`,
      $defs: { input: shared.request(input), output: shared.answer(output) },
    });
  }
  add('errors', 'errors', { title: 'details of every error, by code', $defs: errorDetails() });
  files.set('docs/errors.md', errorsPage());
  const examples = recordedExamples();
  files.set('schemas/openrpc.json', jsonText(openrpc(examples)));
  for (const [path, text] of apiPages(examples)) files.set(path, text);
  for (const [name, schema] of Object.entries(vectorSchemas())) {
    const $id = `${SCHEMA_ID}:vectors:${name}`;
    files.set(`schemas/vectors/${name}.schema.json`, jsonText({ $schema: DIALECT, $id, ...schema }));
  }
  for (const [name, vectors] of Object.entries(vectorFiles(golden()))) {
    files.set(`schemas/vectors/${name}.json`, jsonText(vectors));
  }
  return files;
}

function golden(): GoldenVectors {
  return JSON.parse(readFileSync(new URL('../../test/vectors/deployment.json', import.meta.url), 'utf8'));
}

/** Indented text; the largest integer of 64 bits, which is no number of this language, in full. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2).replaceAll(String(2 ** 64), '18446744073709551615')}\n`;
}

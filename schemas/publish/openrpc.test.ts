import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as metaSchema from '@open-rpc/meta-schema';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { type Command, commands } from '../commands/index.ts';
import { errorTable } from '../errors/index.ts';
import type { ErrorEntry } from '../errors/table.ts';
import type { JsonSchema } from './json-schema.ts';
import { recordedExamples } from './recorded.ts';

const text = readFileSync(join(import.meta.dirname, '..', 'openrpc.json'), 'utf8');
const document = JSON.parse(text);
const methods = document.methods as (JsonSchema & { readonly name: string; readonly params: unknown[] })[];

/** Every value of a key, wherever it stands. */
function valuesOf(key: string, value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap((item) => valuesOf(key, item));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, field]) => (name === key ? [field] : valuesOf(key, field)));
}

describe('the OpenRPC document', () => {
  it('is one by its own meta-schema', () => {
    // The meta-schema speaks of drafts of its own, which only describe.
    const {
      $schema: _draft,
      $id: _id,
      ...meta
    } = (metaSchema as unknown as { openrpcDocument: JsonSchema }).openrpcDocument;
    const check = new Ajv({ strict: false, validateFormats: false }).compile(withoutForeign(meta) as object);
    expect(check(document), JSON.stringify(check.errors?.slice(0, 3))).toBe(true);
  });

  it('refers to nothing that is not in it', () => {
    const refs = new Set(valuesOf('$ref', document) as string[]);
    expect(refs.size).toBeGreaterThan(50);
    for (const ref of refs) {
      const [, kind, name] = /^#\/components\/(schemas|errors)\/(\w+)$/.exec(ref) ?? [];
      expect(document.components[kind as string]?.[name as string], ref).toBeDefined();
    }
  });

  it('has every command, with an example where the command can succeed', () => {
    expect(methods.map(({ name }) => name)).toEqual(commands.map(({ name }) => name));
    const { commands: recorded } = recordedExamples();
    for (const method of methods) {
      expect(method.examples !== undefined, method.name).toBe('answer' in (recorded[method.name] ?? {}));
      expect(method.summary).toMatch(/\.$/);
    }
  });

  it('lists with a command the errors that it can come upon, and with some command each that is an answer', () => {
    const listed = new Map(
      methods.map(({ name, errors }) => [
        name,
        (errors as { $ref: string }[]).map(({ $ref }) => $ref.slice('#/components/errors/'.length)),
      ]),
    );
    const of = (name: string): string[] => listed.get(`zos.deployment.${name}`) ?? [];
    for (const [name, codes] of listed) expect(new Set(codes).size, name).toBe(codes.length);
    expect(of('delete')).toContain('deployment_delete_disabled');
    expect(of('plan')).not.toContain('deployment_delete_disabled');
    expect(of('plan')).toContain('deployment_exists');
    expect(of('plan').filter((code) => code.startsWith('signature_'))).toEqual([]);
    expect(of('deploy').filter((code) => code.startsWith('upgrade_'))).toEqual([]);
    expect(of('update')).toContain('upgrade_invalid');
    const answered = new Set([...listed.values()].flat());
    // These are told in the results of workloads, or of ids that no command takes.
    const unanswered = ['workload_id_invalid', 'dependency_failed', 'step_failed'];
    const ofDeployments = Object.entries<ErrorEntry>(errorTable).filter(([, { stage }]) => stage === 'deployment');
    expect(ofDeployments.flatMap(([code]) => (answered.has(code) ? [] : [code]))).toEqual(unanswered);
  });

  it('says no more than is true of the version it is of', () => {
    const described = methods.find(({ name }) => name === 'zos.api.describe')?.result as { schema: JsonSchema };
    expect(document.openrpc).toMatch(/^1\.\d+\.\d+$/);
    expect(described.schema.description).not.toMatch(/\d\.\d/);
  });

  it('names the other spellings of a command', () => {
    for (const { name, aliases } of commands as readonly Command[]) {
      expect(methods.find((method) => method.name === name)?.['x-aliases']).toEqual(aliases);
    }
  });
});

/** References to schemas on other hosts, which a check without network takes for anything. */
function withoutForeign(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutForeign);
  if (typeof value !== 'object' || value === null) return value;
  const { $ref } = value as { readonly $ref?: unknown };
  if (typeof $ref === 'string' && !$ref.startsWith('#')) return true;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, withoutForeign(field)]));
}

/** Whatever a node accepts the published schema accepts; what a node refuses on shape the schema refuses. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isGridError, parseDeployment, validateDeployment, workloadType, workloadTypeNames } from '../index.ts';
import { badInputs } from '../testing/bad-input.ts';
import { loadData } from '../validate.ts';
import type { JsonSchema } from './json-schema.ts';
import { schemas, validator } from './published.ts';

interface Vector {
  name: string;
  deployment: object;
  upgrade_from?: object;
}
const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/deployment.json', import.meta.url), 'utf8')) as {
  cases: Vector[];
  edge_cases: Vector[];
};

/** `shape`: a value is not of its type. `rule`: all are, and a rule about them is broken. */
type Verdict = 'accepted' | 'shape' | 'rule';

function nodeSays(text: string): Verdict {
  return (
    refusal('shape', () => {
      const { workloads } = parseDeployment(text);
      for (const workload of workloads) loadData(workloadType(workload.type), workload);
    }) ??
    refusal('rule', () => validateDeployment(parseDeployment(text))) ??
    'accepted'
  );
}

function refusal(verdict: Verdict, check: () => void): Verdict | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (isGridError(error)) return verdict;
    throw error;
  }
}

const defs = schemas.get('gridnode')?.$defs as Record<string, JsonSchema>;
const isDeployment = validator('');

/** The same value with every known key in the spelling of the schema; nodes read keys in any case. */
function canonical(value: unknown, schema: JsonSchema): unknown {
  const { $ref, anyOf, items, properties, additionalProperties, allOf } = schema as Record<string, never>;
  if ($ref !== undefined) return canonical(value, defs[($ref as string).replace('#/$defs/', '')] as JsonSchema);
  if (anyOf !== undefined) return canonical(value, (anyOf as JsonSchema[])[0] as JsonSchema);
  if (Array.isArray(value)) return items === undefined ? value : value.map((item) => canonical(item, items));
  if (typeof value !== 'object' || value === null) return value;
  const known = new Map(Object.keys(properties ?? {}).map((key) => [key.toLowerCase(), key]));
  const spelt = Object.entries(value).map(([key, field]) => {
    const name = known.get(key.toLowerCase());
    if (name !== undefined) return [name, canonical(field, properties?.[name] as unknown as JsonSchema)];
    return [key, additionalProperties === undefined ? field : canonical(field, additionalProperties)];
  });
  const result = Object.fromEntries(spelt) as { type?: unknown; data?: unknown };
  for (const { if: condition, then } of (allOf ?? []) as { if: JsonSchema; then: JsonSchema }[]) {
    const { type } = condition.properties as { type: { const: string } };
    const { data } = then.properties as { data: JsonSchema };
    if (result.type === type.const) result.data = canonical(result.data, data);
  }
  return result;
}

/** Fails unless schema and node agree on a JSON text. */
function expectAgreement(text: string): Verdict {
  const said = nodeSays(text);
  const accepts = isDeployment(canonical(JSON.parse(text), { $ref: '#/$defs/Deployment' }));
  const why = `node: ${said}; schema: ${JSON.stringify(isDeployment.errors)}; ${text.slice(0, 4000)}`;
  if (said === 'accepted') expect(accepts, why).toBe(true);
  if (said === 'shape') expect(accepts, why).toBe(false);
  return said;
}

describe('schema and node agree on', () => {
  const all = [...vectors.cases, ...vectors.edge_cases];

  it.each(all)('vector $name', ({ deployment, upgrade_from }) => {
    expectAgreement(JSON.stringify(deployment));
    if (upgrade_from !== undefined) expectAgreement(JSON.stringify(upgrade_from));
  });

  it('vectors of every kind of verdict', () => {
    const said = all.map(({ deployment }) => nodeSays(JSON.stringify(deployment)));
    expect(new Set(said)).toEqual(new Set(['accepted', 'shape', 'rule']));
    expect(said.filter((verdict) => verdict === 'shape').length).toBeGreaterThanOrEqual(6);
  });

  it.each(badInputs)('$name, if it is JSON at all', ({ text }) => {
    const given = text();
    if (typeof given !== 'string' || given.length > 1024 * 1024) return;
    try {
      JSON.parse(given);
    } catch {
      return;
    }
    const isException = exceptions.some((exception) => exception.covers?.(given));
    if (!isException) expectAgreement(given);
  });
});

interface Exception {
  readonly what: string;
  /** Why the schema cannot or should not say it. */
  readonly why: string;
  readonly text: string;
  readonly node: Verdict;
  readonly schema: boolean;
  readonly covers?: (text: string) => boolean;
}

/** All places where they differ. */
const exceptions: readonly Exception[] = [
  {
    what: 'null as a whole deployment',
    why: 'nodes read it as one without workloads, which is of no use; a type that may be null is, to generators',
    text: 'null',
    node: 'accepted',
    schema: false,
  },
  {
    what: 'an integer written with a fraction',
    why: 'to JSON Schema 1.0 is the integer 1; Go reads the text',
    text: '{"version":1.0}',
    node: 'shape',
    schema: true,
  },
  {
    what: 'an integer written with an exponent',
    why: 'to JSON Schema 1e3 is the integer 1000; Go reads the text',
    text: '{"version":1e3}',
    node: 'shape',
    schema: true,
  },
  {
    what: 'minus zero',
    why: 'to JSON Schema it is 0; Go reads the text',
    text: '{"version":-0}',
    node: 'shape',
    schema: true,
  },
  {
    what: '2^64 where validators calculate with doubles',
    why: 'the schema says 18446744073709551615, which JavaScript rounds to 2^64',
    text: `{"contract_id":${2n ** 64n}}`,
    node: 'shape',
    schema: true,
    covers: (text) => text.includes(String(2n ** 64n)),
  },
  {
    what: 'a day that its month does not have',
    why: 'a pattern cannot count the days of months',
    text: '{"expiration":"2026-02-30T00:00:00Z"}',
    node: 'shape',
    schema: true,
  },
  {
    what: 'more than 16,384 elements in a list',
    why: 'a bound of the text like its size, the same everywhere; zos.limits.get tells of such',
    text: `{"signature_requirement":{"requests":[${'{},'.repeat(16_384)}{}]}}`,
    node: 'shape',
    schema: true,
    covers: (text) => text.length > 16_384 * 3,
  },
  {
    what: 'more than 64 levels',
    why: 'JSON Schema does not count levels',
    text: `{"x":${'['.repeat(64)}${']'.repeat(64)}}`,
    node: 'shape',
    schema: true,
    covers: (text) => text.includes('{"size":{"size":'),
  },
  {
    what: 'a key that is repeated, the last value of which is good',
    why: 'readers before the validator keep the last; nodes read each',
    text: '{"version":"x","version":1}',
    node: 'shape',
    schema: true,
    covers: (text) => text.includes('"SIZE"'),
  },
];

describe('schema and node differ, as they must, on', () => {
  it.each(exceptions)('$what: $why', ({ text, node, schema }) => {
    expect(nodeSays(text)).toBe(node);
    expect(isDeployment(JSON.parse(text))).toBe(schema);
  });
});

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly (string | number)[];

/** Every place in a value, the value itself left out. */
function placesOf(value: Json, path: Path = []): Path[] {
  const entries: [string | number, Json][] = Array.isArray(value)
    ? value.map((item, i) => [i, item])
    : Object.entries(typeof value === 'object' && value !== null ? value : {});
  return entries.flatMap(([key, inner]) => [[...path, key], ...placesOf(inner, [...path, key])]);
}

type Change = { to: Json } | { remove: true } | { respell: true } | { beside: [string, Json] };

function changed(value: Json, [key, ...rest]: Path, change: Change): Json {
  if (typeof value !== 'object' || value === null || key === undefined) return value;
  if (Array.isArray(value)) {
    const items = value.map((item, i) => (i === key && rest.length > 0 ? changed(item, rest, change) : item));
    if (rest.length > 0) return items;
    if ('to' in change) return items.with(key as number, change.to);
    return 'remove' in change ? items.toSpliced(key as number, 1) : items;
  }
  if (rest.length > 0) return { ...value, [key]: changed(value[key] as Json, rest, change) };
  const { [key]: old = null, ...others } = value;
  if ('to' in change) return { ...value, [key]: change.to };
  if ('remove' in change) return others;
  if ('respell' in change) return { ...others, [String(key).toUpperCase()]: old };
  return { ...value, [`_${change.beside[0]}`]: change.beside[1] };
}

const odd: Json[] = [
  ...[null, true, false, '', 'a', 'ff', 'zz', '5', '10.1.1.2', '10.1.1.0/24', 'fd00::1', 'fd00::/64', 'zmount'],
  ...[0, 1, -1, 1.5, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1e30, -(2 ** 53)],
  ...['2026-01-01T00:00:00Z', '2026-01-01', 'ab'.repeat(32), 'sr25519', [], {}, [null], [{}], ['a'], [1], { a: 1 }],
];
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ to: fc.constantFrom(...odd) }) },
  { weight: 1, arbitrary: fc.record({ to: fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json> }) },
  { weight: 3, arbitrary: fc.constant<Change>({ remove: true }) },
  { weight: 1, arbitrary: fc.constant<Change>({ respell: true }) },
  { weight: 1, arbitrary: fc.record({ beside: fc.tuple(fc.string(), fc.constantFrom(...odd)) }) },
);

/** Types that no vector has. */
const others = {
  workloads: [
    { name: 'old', type: 'ipv4', data: {} },
    { name: 'site', type: 'gateway-fqdn-proxy', data: { fqdn: 'a.bc', backends: ['http://10.1.1.2'], network: 'n' } },
    { name: 'disk', type: 'volume', data: { size: 1 } },
  ],
};

/** Deployments with which changes begin. */
const good = [...vectors.cases, ...vectors.edge_cases, { deployment: others }]
  .map(({ deployment }) => JSON.stringify(deployment))
  .filter((text) => nodeSays(text) === 'accepted')
  .map((text) => JSON.parse(text) as Json);

describe('whatever is changed in a good deployment', () => {
  it('has every type', () => {
    for (const type of workloadTypeNames)
      expect(good.some((start) => JSON.stringify(start).includes(`"${type}"`))).toBe(true);
  });

  it('schema and node agree', { timeout: 60_000 }, () => {
    const verdicts = { accepted: 0, shape: 0, rule: 0 };
    const mutation = fc.tuple(fc.nat(), change);
    fc.assert(
      fc.property(fc.constantFrom(...good), fc.array(mutation, { minLength: 1, maxLength: 3 }), (start, mutations) => {
        let value = start;
        for (const [at, how] of mutations) {
          const places = placesOf(value);
          if (places.length > 0) value = changed(value, places[at % places.length] as Path, how);
        }
        verdicts[expectAgreement(JSON.stringify(value))]++;
      }),
      { numRuns: 3_000 },
    );
    // The changes must reach all three, or they test nothing.
    for (const times of Object.values(verdicts)) expect(times).toBeGreaterThan(30);
  });
});

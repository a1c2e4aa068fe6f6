import { describe, expect, it } from 'vitest';
import { isGridError, parseDeployment, validateDeployment, workloadTypeNames } from '../index.ts';
import { SCHEMA_ID } from './files.ts';
import type { JsonSchema } from './json-schema.ts';
import { ajv, schemas, validator } from './published.ts';

describe('every published schema', () => {
  it.each([...schemas])('%s is JSON Schema 2020-12 with a name of its version', (path, schema) => {
    expect(schema.$id).toBe(path === 'gridnode' ? SCHEMA_ID : `${SCHEMA_ID}:${path.replace('/', ':')}`);
    expect(() => ajv.getSchema(schema.$id as string)).not.toThrow();
    const defs = (schema.$defs ?? {}) as Record<string, JsonSchema>;
    for (const name of Object.keys(defs)) expect(ajv.getSchema(`${schema.$id}#/$defs/${name}`)).toBeDefined();
  });
});

/** Good data of each type, and changes that make its shape wrong: a path and what is put there. */
const shapes: Record<string, [good: object, ...bad: [path: string, value: unknown][]]> = {
  zmount: [{ size: 2 ** 60 }, ['size', '1'], ['size', -1], ['size', 0]],
  volume: [{ size: 1 }, ['size', 1.5], ['size', []]],
  qsfs: [
    {
      cache: 1,
      config: {
        minimal_shards: 1,
        expected_shards: 2,
        encryption: { algorithm: 'AES', key: 'aB' },
        meta: {
          type: 'zdb',
          config: {
            prefix: 'p',
            encryption: { algorithm: 'AES', key: '' },
            backends: [{ address: 'a', namespace: 'n' }],
          },
        },
        groups: null,
        compression: { algorithm: 'snappy' },
      },
    },
    ['cache', '1'],
    ['config', 5],
    ['config.minimal_shards', 4294967296],
    ['config.encryption.key', 'abc'],
    ['config.meta.config.backends', [{ address: 5, namespace: 'n' }]],
    ['config.groups', [{ backends: 'x' }]],
  ],
  zdb: [{ size: 1, mode: 'seq', password: '', public: true }, ['mode', 'other'], ['password', 5], ['public', 'true']],
  network: [
    { ip_range: '10.1.0.0/16', subnet: '10.1.1.0/24', wireguard_private_key: 'k', peers: null },
    ['subnet', 5],
    ['wireguard_listen_port', 65536],
    ['peers', [{ subnet: '', wireguard_public_key: '', allowed_ips: [5] }]],
    ['mycelium', { hex_key: 'zz' }],
  ],
  'network-light': [
    { subnet: '10.1.1.0/24', mycelium: { hex_key: 'aB'.repeat(32), peers: [] } },
    ['mycelium', []],
    ['mycelium.hex_key', 'abc'],
    ['wireguard_listen_port', -1],
  ],
  ip: [{ v4: true }, ['v4', 1], ['v6', 'yes']],
  ipv4: [{}, ['', []], ['', 'x']],
  zmachine: [
    {
      flist: 'f',
      network: { interfaces: [{ network: 'n', ip: '10.1.1.2' }], mycelium: null },
      compute_capacity: { cpu: 255, memory: 262144000 },
      mounts: null,
      env: null,
    },
    ['compute_capacity.cpu', 256],
    ['compute_capacity.cpu', 0],
    ['compute_capacity.memory', 262143999],
    ['env', { A: 1 }],
    ['gpu', [1]],
    ['mounts', [{ name: 1, mountpoint: '/' }]],
    ['corex', 'no'],
  ],
  'zmachine-light': [
    {
      network: { interfaces: [{ network: 'n', ip: 'fd00::1' }], mycelium: { network: 'n', hex_seed: 'aabbccddeeff' } },
      compute_capacity: { cpu: 1, memory: 2 ** 40 },
    },
    ['network.mycelium.hex_seed', 'xy'],
    ['network.interfaces', {}],
  ],
  'gateway-name-proxy': [
    { name: 'a', tls_passthrough: false, backends: ['http://10.1.1.2'], network: null },
    ['name', 5],
    ['backends', 'http://10.1.1.2'],
    ['backends', [5]],
    ['network', 5],
  ],
  'gateway-fqdn-proxy': [
    { fqdn: 'a.bc', tls_passthrough: true, backends: ['10.1.1.2:443'], network: 'n' },
    ['fqdn', ['a.bc']],
    ['tls_passthrough', 'true'],
  ],
  zlogs: [{ zmachine: 'vm', output: 'ws://10.1.1.2' }, ['zmachine', 1], ['output', {}]],
};

function changed(value: unknown, [key, ...rest]: string[], to: unknown): unknown {
  if (key === undefined || key === '') return to;
  const object = value as Record<string, unknown>;
  return { ...object, [key]: changed(object[key], rest, to) };
}

/** Structure alone: rules that look at other workloads are met by a machine of the name they ask for. */
function nodeAccepts(type: string, data: unknown): boolean {
  const machine = { name: 'vm', type: 'zmachine', data: shapes.zmachine?.[0] };
  try {
    validateDeployment(parseDeployment(JSON.stringify({ workloads: [machine, { name: 'w', type, data }] })));
    return true;
  } catch (error) {
    if (isGridError(error)) return false;
    throw error;
  }
}

describe.each(Object.entries(shapes))('the schema of %s and the node', (type, [good, ...bad]) => {
  const schema = validator(`workloads:${type}`);

  it('accept the same data', () => {
    expect(nodeAccepts(type, good)).toBe(true);
    expect(schema(good), JSON.stringify(schema.errors)).toBe(true);
    // Unknown keys are kept, not read.
    expect(nodeAccepts(type, { ...good, __type: type })).toBe(true);
    expect(schema({ ...good, __type: type })).toBe(true);
  });

  it.each(bad)('refuse %s as %j', (path, value) => {
    const data = changed(good, path.split('.'), value);
    expect(nodeAccepts(type, data)).toBe(false);
    expect(schema(data)).toBe(false);
  });
});

it('every type is held against the node', () => {
  expect(Object.keys(shapes).sort()).toEqual([...workloadTypeNames].sort());
});

/** Every place below `properties`, lists and alternatives of a schema. */
function* places(schema: JsonSchema, path: string): Generator<[path: string, schema: JsonSchema]> {
  yield [path, schema];
  const { properties = {}, items, additionalProperties, anyOf = [] } = schema as Record<string, object>;
  for (const [key, field] of Object.entries(properties)) yield* places(field, `${path}.${key}`);
  if (items !== undefined) yield* places(items as JsonSchema, `${path}[]`);
  if (typeof additionalProperties === 'object') yield* places(additionalProperties as JsonSchema, `${path}.*`);
  for (const option of anyOf as JsonSchema[]) yield* places(option, path);
}

/** Fields below a schema that nothing describes: neither words of their own nor a type with a name. */
function undescribed(schema: JsonSchema, path: string): string[] {
  const bare: string[] = [];
  for (const [place, { properties = {} }] of places(schema, path)) {
    for (const [key, field] of Object.entries(properties as Record<string, JsonSchema>)) {
      const own = typeof field.description === 'string' || typeof field.$ref === 'string' || field.anyOf;
      const inner = field.properties ?? (field.items as JsonSchema)?.$ref ?? (field.items as JsonSchema)?.properties;
      if (!own && inner === undefined) bare.push(`${place}.${key}`);
    }
  }
  return bare;
}

const ofCommands = [...schemas].filter(([path]) => path.startsWith('commands/'));

it.each(ofCommands)('every field of %s is described', (_path, { $defs }) => {
  const { input, output } = $defs as Record<'input' | 'output', JsonSchema>;
  expect([...undescribed(input, 'input'), ...undescribed(output, 'output')]).toEqual([]);
});

describe.each(['gridnode', 'types'])('readers of %s', (name) => {
  const defs = Object.entries(schemas.get(name)?.$defs as Record<string, JsonSchema>);

  it('find a description at every value', () => {
    const bare = defs.flatMap(([type, schema]) => undescribed(schema, type));
    for (const [type, { description }] of defs) if (typeof description !== 'string') bare.push(type);
    expect(bare).toEqual([]);
  });

  it.each(defs)('find an example of %s that is one', (type, { examples }) => {
    const check = validator(name === 'types' ? `types#/$defs/${type}` : `#/$defs/${type}`);
    expect(examples).toHaveLength(1);
    for (const example of examples as unknown[]) expect(check(example), JSON.stringify(check.errors)).toBe(true);
  });

  it('find no place where anything goes unsaid', () => {
    const free: string[] = [];
    for (const [type, schema] of defs) {
      for (const [path, { type: kind, anyOf, $ref }] of places(schema, type)) {
        if (kind === undefined && anyOf === undefined && $ref === undefined) free.push(path);
      }
    }
    expect(free).toEqual([]);
  });
});

it('readers of the errors find a description at every detail; words for a new one go into error-details.ts', () => {
  const bare: string[] = [];
  for (const [code, schema] of Object.entries(schemas.get('errors')?.$defs as Record<string, JsonSchema>)) {
    for (const [path, { properties = {} }] of places(schema, code)) {
      for (const [key, { description, type, anyOf, enum: values }] of Object.entries(
        properties as Record<string, JsonSchema>,
      )) {
        if (description === undefined || description === '') bare.push(`${path}.${key}`);
        if (type === undefined && anyOf === undefined && values === undefined) bare.push(`${path}.${key}: any`);
      }
    }
  }
  expect(bare).toEqual([]);
});

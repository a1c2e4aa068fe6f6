import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { generatedFiles } from './generate.ts';
import { commands, isGridError, parseDeployment, validateDeployment, workloadTypeNames } from './index.ts';

const root = join(import.meta.dirname, '..');
const files = generatedFiles();
const read = (path: string) => JSON.parse(files.get(path) as string);
// Formats only describe here; patterns check.
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false });

interface Vector {
  name: string;
  kind?: string;
  deployment: { workloads: { type: string; data: unknown; result?: { state?: string } }[] };
  expect?: { ok?: true; error?: string };
}
const vectors = JSON.parse(readFileSync(join(root, 'test/vectors/deployment.json'), 'utf8')) as {
  cases: Vector[];
  edge_cases: Vector[];
};

describe('generated files', () => {
  for (const [path, text] of files) {
    it(`${path} is what \`npm run generate\` writes`, () => {
      expect(existsSync(join(root, path))).toBe(true);
      expect(readFileSync(join(root, path), 'utf8')).toBe(text);
    });
  }

  it('has no file that nothing makes', () => {
    const found = readdirSync(join(root, 'schemas/json'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    expect(found.sort()).toEqual([...files.keys()].filter((path) => path.startsWith('schemas/json/')).sort());
  });

  it('is JSON Schema 2020-12', () => {
    for (const path of files.keys()) if (path.endsWith('.json')) ajv.compile(read(path));
    expect(files.has('schemas/json/deployment.json')).toBe(true);
    for (const { name } of commands) expect(files.has(`schemas/json/commands/${name}.json`)).toBe(true);
    for (const name of workloadTypeNames) expect(files.has(`schemas/json/workloads/${name}.json`)).toBe(true);
  });
});

describe('the deployment schema', () => {
  const deployment = ajv.compile(read('schemas/json/deployment.json'));

  it.each(vectors.cases)('accepts $name', (vector) => {
    expect(deployment(vector.deployment), JSON.stringify(deployment.errors)).toBe(true);
    for (const { type, data } of vector.deployment.workloads) {
      expect(ajv.validate(read(`schemas/json/workloads/${type}.json`), data)).toBe(true);
    }
  });

  it.each(vectors.edge_cases.filter((edge) => edge.kind === 'valid' && edge.expect?.ok))('accepts $name', (edge) => {
    expect(deployment(edge.deployment), JSON.stringify(deployment.errors)).toBe(true);
  });

  it.each([
    'zmount_size_float',
    'vm_cpu_256',
    'mycelium_not_hex',
    'type_unknown',
    'zmount_zero',
    'zdb_zero',
    'zdb_mode',
  ])('refuses %s', (name) => {
    const edge = vectors.edge_cases.find((known) => known.name === name);
    expect(edge).toBeDefined();
    expect(deployment(edge?.deployment)).toBe(false);
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
  const schema = ajv.compile(read(`schemas/json/workloads/${type}.json`));

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

describe('readers of the schemas', () => {
  it('find a description at every value', () => {
    const bare: string[] = [];
    const walk = (schema: Record<string, unknown>, path: string): void => {
      for (const [key, value] of Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>)) {
        const isObject = JSON.stringify(value).includes('"properties"');
        if (!isObject && typeof value.description !== 'string') bare.push(`${path}.${key}`);
        walk(value, `${path}.${key}`);
      }
      const inner = [...((schema.anyOf ?? []) as object[]), ...(schema.items === undefined ? [] : [schema.items])];
      for (const one of inner) walk(one as Record<string, unknown>, path);
    };
    for (const path of files.keys()) {
      if (/^schemas\/json\/(workloads\/.*|deployment|workload|result)\.json$/.test(path)) walk(read(path), path);
    }
    expect(bare).toEqual([]);
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { normaliseCidr, normaliseIp } from './addresses.ts';
import { challengePieces, parseDeployment, workloadTypeNames } from './index.ts';

type How = string | readonly (readonly [key: string, how: How])[];

const read = (...path: string[]) => JSON.parse(readFileSync(join(import.meta.dirname, ...path), 'utf8'));
const { description, deployment: top, ...types } = read('hashed.json') as Record<string, How>;

const kinds: Readonly<Record<string, (value: unknown) => string>> = {
  text: (value) => String(value ?? ''),
  integer: (value) => String(value ?? 0),
  boolean: (value) => String(value ?? false),
  hex: (value) => String(value ?? '').toLowerCase(),
  address: (value) => (value === undefined || value === '' ? '<nil>' : (normaliseIp(String(value)) as string)),
  prefix: (value) => (value === undefined || value === '' ? '<nil>' : (normaliseCidr(String(value)) as string)),
  env: (value) =>
    Object.entries((value ?? {}) as Record<string, string>)
      .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map(([key, text]) => `${key}=${text}`)
      .join(''),
};

/** What the file's own description says, and nothing else. */
function written(value: unknown, how: How): string {
  if (Array.isArray(value)) return value.map((one) => written(one, how)).join('');
  if (typeof how === 'string') return (kinds[how] as (value: unknown) => string)(value);
  if (value === undefined || value === null) return '';
  const object = value as Record<string, unknown>;
  return how
    .map(([key, inner]) => written(object[key], inner === 'data' ? (types[object.type as string] as How) : inner))
    .join('');
}

function expectAlike(document: object): void {
  const parsed = parseDeployment(JSON.stringify(document));
  const challenge = challengePieces(parsed)
    .map(([, text]) => text)
    .join('');
  expect(written(document, top as How)).toBe(challenge);
}

describe('the list of what is hashed', () => {
  it('says how it is read, and has every type', () => {
    expect(description).toMatch(/with nothing between them/);
    expect(Object.keys(types).sort()).toEqual([...workloadTypeNames].sort());
  });

  it.each(readdirSync(join(import.meta.dirname, 'examples', 'workloads')))(
    'gives the challenge of the example %s',
    (file) => {
      const { workload } = read('examples', 'workloads', file);
      expectAlike({
        version: 3,
        twin_id: 17,
        metadata: 'm',
        description: 'd',
        expiration: 5,
        workloads: [workload, workload],
        signature_requirement: { requests: [], weight_required: 0, signature_style: '' },
      });
    },
  );

  it('gives the challenge of lists of several, of signers, of what is left out', () => {
    const peer = {
      wireguard_public_key: 'k',
      endpoint: 'e:1',
      subnet: '10.1.3.0/24',
      allowed_ips: ['10.1.3.0/24', 'FD00::0/8'],
    };
    const network = {
      ip_range: '10.1.0.0/16',
      subnet: '',
      wireguard_private_key: 'p',
      peers: [peer, { ...peer, subnet: '' }],
    };
    const env = { b: '2', a: '1', B: '3', ä: '4' };
    const machine = {
      flist: 'f',
      network: {},
      compute_capacity: { cpu: 1, memory: 2 },
      env,
      gpu: ['x', 'y'],
      corex: true,
    };
    const requests = [
      { twin_id: 17, required: true, weight: 2 },
      { twin_id: 23, required: false, weight: 1 },
    ];
    expectAlike({
      version: 0,
      twin_id: 17,
      workloads: [
        { version: 0, name: 'n', type: 'network', data: network },
        { version: 0, name: 'v', type: 'zmachine', data: machine },
      ],
      signature_requirement: { requests, weight_required: 3, signature_style: 'polka-wallet' },
    });
  });
});

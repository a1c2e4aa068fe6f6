import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  deploymentHash,
  deploymentNeeds,
  formatDeployment,
  GridError,
  MAX_DEPLOYMENT_BYTES,
  parseDeployment,
  validateDeployment,
  workloadReferences,
} from './index.ts';

const base = {
  version: 0,
  twin_id: 17,
  contract_id: 0,
  signature_requirement: { requests: [{ twin_id: 17, weight: 1 }], weight_required: 1 },
};
const text = (fields: object) => JSON.stringify({ ...base, ...fields });
const zmount = (data: string, extra = '') => `{"version":0,"name":"d","type":"zmount","data":${data}${extra}}`;
const withWorkload = (workload: string) => `${JSON.stringify(base).slice(0, -1)},"workloads":[${workload}]}`;

function refusal(action: () => unknown): GridError {
  try {
    action();
  } catch (error) {
    if (error instanceof GridError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('parseDeployment', () => {
  it('keeps 64-bit contract ids', () => {
    for (const id of ['9007199254740993', '18446744073709551615']) {
      const deployment = parseDeployment(JSON.stringify(base).replace('"contract_id":0', `"contract_id":${id}`));
      expect(deployment.contract_id).toBe(BigInt(id));
      expect(formatDeployment(deployment)).toContain(`"contract_id":${id},`);
    }
    const above = JSON.stringify(base).replace('"contract_id":0', '"contract_id":18446744073709551616');
    expect(refusal(() => parseDeployment(above)).message).toBe(
      'json: cannot unmarshal number 18446744073709551616 into Go struct field Deployment.contract_id of type uint64',
    );
  });

  it('keeps data byte for byte and gives it back in the node order of fields', () => {
    const data = '{ "size" : 1e0,\n\t"ünknown":"\\u00e9\\/", "size":5 , "__proto__":{"a":1}}';
    const deployment = parseDeployment(new TextEncoder().encode(withWorkload(zmount(data))));
    expect(deployment.workloads[0]?.data).toBe(data);
    expect(formatDeployment(deployment)).toBe(
      '{"version":0,"twin_id":17,"contract_id":0,"metadata":"","description":"","expiration":0,' +
        '"signature_requirement":{"requests":[{"twin_id":17,"required":false,"weight":1}],"weight_required":1,' +
        '"signatures":[],"signature_style":""},"workloads":[{"version":0,"name":"d","type":"zmount",' +
        `"data":${data},"metadata":"","description":"","result":{"created":0,"state":"","message":"","data":null}}]}`,
    );
  });

  it('drops results that clients claim, keeps those that nodes answer', () => {
    const claimed = ',"result":{"created":5,"state":"ok","message":"","data":{"volume_id":"x"}}';
    const source = withWorkload(zmount('{"size":1}', claimed));
    expect(parseDeployment(source).workloads[0]?.result).toEqual({ created: 0, state: '', message: '', data: '' });
    const kept = parseDeployment(source, { results: 'keep' });
    expect(kept.workloads[0]?.result).toEqual({ created: 5, state: 'ok', message: '', data: '{"volume_id":"x"}' });
    expect(formatDeployment(kept)).toContain(claimed.slice(1));
    expect(deploymentHash(kept)).toBe(deploymentHash(parseDeployment(source)));
  });

  it('matches keys in any case, the last of a repeated key wins, null changes nothing', () => {
    const source =
      '{"VERSION":1,"version":2,"Twin_ID":3,"twin_id":null,"contract_id":4,"Contract_Id":5,"metadata":"a","METADATA":"b",' +
      '"\u017fignature_requirement":{"Requests":[{"twin_id":9}],"weight_required":1},"signature_requirement":{"WEIGHT_REQUIRED":2},' +
      '"workloads":[{"name":"x"}],"Workloads":[{"name":"y"}]}';
    const deployment = parseDeployment(source);
    expect(deployment).toMatchObject({ version: 2, twin_id: 3, contract_id: 5n, metadata: 'b' });
    expect(deployment.signature_requirement).toMatchObject({ weight_required: 2, requests: [{ twin_id: 9 }] });
    expect(deployment.workloads.map((workload) => workload.name)).toEqual(['y']);
    expect(parseDeployment('{"workloads":[{}],"workloads":null}').workloads).toEqual([]);
  });

  it('takes absent and null as zero', () => {
    for (const source of ['{}', 'null', '{"version":null,"signature_requirement":null,"workloads":null}']) {
      expect(parseDeployment(source)).toEqual({
        version: 0,
        twin_id: 0,
        contract_id: 0n,
        metadata: '',
        description: '',
        expiration: 0,
        signature_requirement: { requests: [], weight_required: 0, signatures: [], signature_style: '' },
        workloads: [],
      });
    }
  });

  it.each([
    [1893456000, 1893456000],
    ['2030-01-01T00:00:00Z', 1893456000],
    ['2030-01-01T02:30:00.999+02:30', 1893456000],
    ['1969-12-31T23:59:59Z', -1],
    ['2024-02-29T00:00:00Z', 1709164800],
  ])('reads the expiration %s', (expiration, seconds) => {
    expect(parseDeployment(text({ expiration })).expiration).toBe(seconds);
  });

  it.each(['2030-02-30T00:00:00Z', '2030-01-01', '2030-01-01T24:00:00Z', '2030-01-01T00:00:61Z', '', '1893456000'])(
    'refuses the expiration %j',
    (expiration) => {
      expect(refusal(() => parseDeployment(text({ expiration }))).code).toBe('deployment_field');
    },
  );

  it.each([
    [{ version: -1 }, 'number -1', 'Deployment.version', 'uint32'],
    [{ version: 4294967296 }, 'number 4294967296', 'Deployment.version', 'uint32'],
    [{ twin_id: '17' }, 'string', 'Deployment.twin_id', 'uint32'],
    [{ metadata: 5 }, 'number', 'Deployment.metadata', 'string'],
    [{ workloads: {} }, 'object', 'Deployment.workloads', '[]'],
    [{ signature_requirement: true }, 'bool', 'Deployment.signature_requirement', 'gridtypes.SignatureRequirement'],
    [{ workloads: [{ name: [] }] }, 'array', 'Workload.workloads.name', 'string'],
  ])('refuses %j', (fields, kind, field, type) => {
    const error = refusal(() => parseDeployment(text(fields)));
    expect(error.message).toBe(`json: cannot unmarshal ${kind} into Go struct field ${field} of type ${type}`);
    expect(error.code).toBe('deployment_field');
  });

  it('refuses text that is no deployment, without repeating it', () => {
    expect(refusal(() => parseDeployment('{"wireguard_private_key":"c2VjcmV0",}')).message).not.toContain('c2Vj');
    expect(refusal(() => parseDeployment('[]')).code).toBe('deployment_field');
    expect(refusal(() => parseDeployment(Uint8Array.of(0x7b, 0xff, 0x7d))).code).toBe('deployment_syntax');
    expect(refusal(() => parseDeployment(`\ufeff${text({})}`)).code).toBe('deployment_syntax');
  });

  it('bounds size and depth before it parses', () => {
    const large = refusal(() => parseDeployment(' '.repeat(MAX_DEPLOYMENT_BYTES + 1)));
    expect(large).toMatchObject({ code: 'deployment_too_large', number: 2000 });
    expect(large.details).toEqual({ bytes: MAX_DEPLOYMENT_BYTES + 1, limit: MAX_DEPLOYMENT_BYTES });
    const wide = text({ metadata: 'é'.repeat(MAX_DEPLOYMENT_BYTES / 2) });
    expect(refusal(() => parseDeployment(wide)).code).toBe('deployment_too_large');
    expect(refusal(() => parseDeployment('['.repeat(500_000))).code).toBe('deployment_too_deep');
  });

  it('reads the largest accepted texts fast', () => {
    const hostile = [
      `[${'[],'.repeat(300_000)}[]]`,
      `{"workloads":[${'{},'.repeat(300_000)}{}]}`,
      `{${'"a":0,'.repeat(150_000)}"a":0}`,
      `{"metadata":"${'\\u0041'.repeat(170_000)}"}`,
      `{"version":${'9'.repeat(1_000_000)}}`,
      `{"expiration":"${'9'.repeat(1_000_000)}"}`,
    ];
    for (const source of hostile) {
      const start = process.cpuUsage();
      try {
        validateDeployment(parseDeployment(source));
      } catch (error) {
        expect(error).toBeInstanceOf(GridError);
        expect((error as GridError).message.length).toBeLessThan(1000);
      }
      const { user, system } = process.cpuUsage(start);
      expect((user + system) / 1000).toBeLessThan(2000);
    }
  });
});

describe('properties', () => {
  it('parsing and validating fail with a GridError or not at all', () => {
    const near = fc.record(
      {
        version: fc.oneof(fc.nat(), fc.anything()),
        twin_id: fc.oneof(fc.nat(), fc.anything()),
        contract_id: fc.oneof(fc.nat(), fc.anything()),
        expiration: fc.oneof(fc.nat(), fc.string(), fc.anything()),
        workloads: fc.array(
          fc.record({
            version: fc.constantFrom(0, 0, 0, 1),
            name: fc.oneof(fc.constantFrom('a', 'b', 'c', 'd'), fc.string()),
            type: fc.constantFrom('zmount', 'volume', 'network', 'zmachine', 'ip', 'nothing'),
            data: fc.oneof(
              fc.anything(),
              fc.record({
                size: fc.anything(),
                peers: fc.anything(),
                mycelium: fc.anything(),
                ip_range: fc.anything(),
              }),
              fc.record({ network: fc.anything(), compute_capacity: fc.anything(), env: fc.anything() }),
            ),
          }),
        ),
      },
      { requiredKeys: [] },
    );
    const source = fc.oneof(
      fc.string(),
      fc.uint8Array(),
      fc.json(),
      near.map((value) => JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item))),
    );
    fc.assert(
      fc.property(source, (input) => {
        try {
          const deployment = parseDeployment(input);
          validateDeployment(deployment);
          deploymentHash(deployment);
          deploymentNeeds(deployment);
        } catch (error) {
          expect(error).toBeInstanceOf(GridError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('data survives reading and writing untouched, and what was written reads the same', () => {
    const data = fc.json().chain((json) => fc.constantFrom(json, JSON.stringify(JSON.parse(json), null, 2)));
    const field = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(data, field, fc.bigInt(0n, 2n ** 64n - 1n), (json, metadata, id) => {
        const source = withWorkload(zmount(json, `,"metadata":${JSON.stringify(metadata)}`)).replace(
          '"contract_id":0',
          () => `"contract_id":${id}`,
        );
        const deployment = parseDeployment(source);
        expect(deployment.workloads[0]?.data).toBe(json);
        expect(deployment.workloads[0]?.metadata).toBe(metadata.toWellFormed());
        const written = formatDeployment(deployment);
        expect(written).toContain(json);
        expect(parseDeployment(written)).toEqual(deployment);
        expect(JSON.parse(written).workloads[0].data).toEqual(JSON.parse(json));
      }),
    );
  });

  it('the hash does not see unknown keys, results, contract ids, signatures or the case of keys', () => {
    const unknown = fc.dictionary(
      fc.string().map((key) => `x${key}`),
      fc.jsonValue({ maxDepth: 2 }),
    );
    const plain = { workloads: [{ version: 0, name: 'd', type: 'zmount', data: { size: 7 } }] };
    const hash = deploymentHash(parseDeployment(text(plain)));
    fc.assert(
      fc.property(unknown, unknown, fc.nat(), fc.boolean(), (outer, inner, contract_id, upper) => {
        const workload = { ...plain.workloads[0], ...outer, data: { ...inner, size: 7 }, result: { state: 'ok' } };
        const source = text({ ...outer, contract_id, workloads: [workload] });
        const shown = upper ? source.replace('"twin_id"', '"TWIN_ID"').replace('"data"', '"Data"') : source;
        expect(deploymentHash(parseDeployment(shown))).toBe(hash);
      }),
    );
  });
});

describe('what a deployment needs and refers to', () => {
  it('adds its workloads and lists their references', () => {
    const machine = {
      flist: 'https://hub/a.flist',
      network: { public_ip: 'pub1', interfaces: [{ network: 'net1', ip: '10.0.0.2' }] },
      compute_capacity: { cpu: 2, memory: 1024 ** 3 },
      mounts: [{ name: 'd', mountpoint: '/data' }],
    };
    const workloads = [
      { version: 0, name: 'd', type: 'zmount', data: { size: 10 } },
      { version: 0, name: 'vm', type: 'zmachine', data: machine },
    ];
    const deployment = parseDeployment(text({ workloads }));
    expect(deploymentNeeds(deployment)).toEqual({
      cru: 2,
      mru: 1024 ** 3,
      sru: 10 + 500 * 1024 ** 2,
      hru: 0,
      ipv4u: 0,
    });
    expect(workloadReferences(deployment.workloads[1] as never)).toEqual([
      { kind: 'network', name: 'net1' },
      { kind: 'mount', name: 'd' },
      { kind: 'public_ip', name: 'pub1' },
    ]);
  });
});

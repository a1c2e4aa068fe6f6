import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  challenge,
  deploymentNeeds,
  formatDeployment,
  type GridError,
  isGridError,
  parseDeployment,
  parseWorkloadId,
  validateDeployment,
  workloadId,
} from './index.ts';

interface Given {
  version?: number;
  name?: string;
  type?: string;
  data?: unknown;
}
const parse = (...workloads: Given[]) =>
  parseDeployment(JSON.stringify({ workloads: workloads.map((w) => ({ name: 'a', type: 'zmount', ...w })) }));

function refusal(deployment: ReturnType<typeof parse>, options?: Parameters<typeof validateDeployment>[1]): GridError {
  try {
    validateDeployment(deployment, options);
  } catch (error) {
    if (isGridError(error)) return error;
    throw error;
  }
  throw new Error('was accepted');
}
const message = (...workloads: Given[]) => refusal(parse(...workloads)).message;

const ok = { data: { size: 1 } };
const machine = (fields: object = {}, network: object = {}) => ({
  type: 'zmachine',
  data: {
    network: { interfaces: [{ network: 'net1', ip: '10.0.0.2' }], ...network },
    compute_capacity: { cpu: 1, memory: 2 ** 30 },
    ...fields,
  },
});

describe('names', () => {
  it.each([
    ['', "name '' is invalid: name cannot be empty"],
    ['a'.repeat(37), `name '${'a'.repeat(37)}' is invalid: name cannot exceed 36 characters`],
    ['é'.repeat(19), `name '${'é'.repeat(19)}' is invalid: name cannot exceed 36 characters`],
    ['a b', "name 'a b' is invalid: unsupported character in workload name"],
    ['a\n', "name 'a\n' is invalid: unsupported character in workload name"],
    ['ygg', "name 'ygg' is invalid: invalid name 'ygg' is reserved"],
  ])('refuses %j', (name, text) => {
    expect(message({ name, ...ok })).toBe(text);
    expect(refusal(parse({ name, ...ok })).number).toBe(0);
  });

  it('takes 36 characters', () => {
    validateDeployment(parse({ name: 'A_9'.repeat(12), ...ok }));
  });

  it('does not grow an error with the name', () => {
    const error = refusal(parse({ name: 'x'.repeat(500_000), ...ok }));
    expect(error.message.length).toBeLessThan(300);
    expect(JSON.stringify(error.details).length).toBeLessThan(500);
  });
});

describe('the order of rules', () => {
  it('goes workload by workload', () => {
    expect(message({ version: 1, name: '', type: 'x' })).toContain('cannot be higher than deployment version');
    expect(message({ name: '', type: 'x' })).toContain('name cannot be empty');
    expect(message({ ...ok }, { type: 'x' })).toBe("multiple workloads with the same name 'a'");
    expect(message({ type: 'x', data: 5 })).toBe("invalid reservation type 'x'");
    expect(message({ data: { size: -1 } }, { name: '' })).toMatch(/^failed to load data/);
    expect(message({ data: { size: 0 } }, { name: '' })).toBe('invalid size');
  });

  it('refuses a type the node does not run after all structure, and names it', () => {
    const runs = ['zmount', 'network'];
    const qsfs = { name: 'q', type: 'qsfs', data: {} };
    expect(refusal(parse(qsfs, { name: 'b', ...ok }), { runs })).toMatchObject({
      code: 'workload_type_unsupported',
      number: 2010,
      details: { workload: 'q', type: 'qsfs' },
    });
    validateDeployment(parse(qsfs, { name: 'b', ...ok }));
    expect(refusal(parse(qsfs, { name: 'b', data: { size: 0 } }), { runs }).message).toBe('invalid size');
    expect(refusal(parse(ok), { runs: ['network'] }).message).toContain("does not run workloads of type 'zmount'");
    validateDeployment(parse(ok), { runs: ['zmount'] });
  });
});

describe('data', () => {
  it.each([
    [undefined, "failed to load data into object of type '*zos.ZMount': unexpected end of JSON input"],
    [null, 'invalid size'],
    [{}, 'invalid size'],
    [{ SIZE: 0 }, 'invalid size'],
    [
      [],
      "failed to load data into object of type '*zos.ZMount': json: cannot unmarshal array into Go value of type zos.ZMount",
    ],
    [
      { size: '1' },
      "failed to load data into object of type '*zos.ZMount': json: cannot unmarshal string into Go struct field ZMount.size of type gridtypes.Unit",
    ],
  ])('of a zmount: %j', (data, text) => {
    expect(message({ data })).toBe(text);
  });

  it('takes a size in any case of its key, of all 64 bits and no more', () => {
    validateDeployment(parse({ data: { Size: 1 } }));
    const sized = (size: string) =>
      parseDeployment(`{"workloads":[{"name":"a","type":"zmount","data":{"size":${size}}}]}`);
    for (const size of ['9007199254740991', '9007199254740992', '9007199254740993', '18446744073709551615']) {
      const deployment = sized(size);
      validateDeployment(deployment);
      expect(challenge(deployment)).toBe(`0000azmount${size}0`);
      expect(formatDeployment(deployment)).toContain(`"size":${size}}`);
      expect(deploymentNeeds(deployment).sru).toBe(Number(size));
    }
    for (const size of ['18446744073709551616', '-1', '1e2', '1.0', '-0']) {
      expect(refusal(sized(size)).message).toContain(`cannot unmarshal number ${size} into`);
    }
  });

  it('of a network', () => {
    const network = (data: object) => ({
      type: 'network',
      data: { ip_range: '10.0.0.0/16', subnet: '10.0.1.0/24', wireguard_private_key: 'k', ...data },
    });
    validateDeployment(parse(network({ mycelium: null })));
    expect(message(network({ wireguard_private_key: '' }))).toBe('network resource wireguard private key cannot empty');
    expect(message(network({ mycelium: { hex_key: '00'.repeat(32), peers: ['x'] } }))).toBe(
      'user defined peers list is not supported right now',
    );
    expect(message(network({ wireguard_listen_port: 65536 }))).toContain('number 65536');
    expect(message(network({ subnet: '' }))).toBe('network resource subnet cannot empty');
  });

  it('of a machine', () => {
    validateDeployment(parse(machine()));
    expect(message(machine({ compute_capacity: { cpu: 0, memory: 2 ** 30 } }))).toBe("cpu capacity can't be 0");
    expect(message(machine({ compute_capacity: { cpu: 1, memory: 1 } }))).toBe("mem capacity can't be less that 250M");
    for (const network of ['ygg', 'pub', 'mycelium']) {
      expect(message(machine({}, { interfaces: [{ network, ip: '::1' }] }))).toBe(
        `'${network}' is reserved network name`,
      );
    }
    validateDeployment(parse(machine({}, { mycelium: { NETWORK: 'net1', Hex_Seed: 'AABBCCDDEEFF' } })));
  });

  it('of a machine has its environment in the order of the bytes of its keys', () => {
    const key = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(fc.uniqueArray(key), (keys) => {
        const env = Object.fromEntries(keys.map((one) => [one, '']));
        const sorted = keys.map((one) => Buffer.from(one)).sort(Buffer.compare);
        const text = sorted.map((one) => `${one}=`).join('');
        // The requirement's weight and nothing else comes after the environment.
        expect(challenge(parse(machine({ env }))).endsWith(`${2 ** 30}${text}0`)).toBe(true);
      }),
    );
  });

  it('of a gateway', () => {
    const gateway = (data: object, type = 'gateway-name-proxy') => ({
      type,
      data: { name: 'a', fqdn: 'a.bc', ...data },
    });
    const backend = (...backends: string[]) => gateway({ backends });
    const passing = (...backends: string[]) => gateway({ backends, tls_passthrough: true });
    expect(message(backend())).toBe('backends list can not be empty');
    for (const good of ['http://10.1.1.2', 'http://[fd00::1]:80/a', 'http://1.2.3.4:99999'])
      validateDeployment(parse(backend(good)));
    for (const bad of [
      'http://127.1.2.3',
      'http://[::1]',
      'http://[::ffff:127.0.0.1]',
      'http://',
      'http://010.1.1.1',
    ]) {
      expect(message(backend('http://10.1.1.2', bad))).toContain('invalid ip address in backend: ');
    }
    expect(message(backend('10.1.1.2'))).toContain('scheme expected to be http');
    expect(message(backend('10.1.1.2:80'))).toContain('first path segment in URL cannot contain colon');
    for (const good of ['10.1.1.2:0', '[fd00::1]:65535']) validateDeployment(parse(passing(good)));
    expect(message(passing('10.1.1.2:x'))).toContain('strconv.ParseUint: parsing "x": invalid syntax');
    expect(message(passing('10.1.1.2'))).toContain('missing port in address');
    for (const fqdn of ['a', 'a.b', '.ab', 'a..bc', 'a.bc.', 'a b.cd', 'a.bc\n', '']) {
      expect(message(gateway({ fqdn, backends: ['http://1.2.3.4'] }, 'gateway-fqdn-proxy'))).toBe(
        `fqdn ${fqdn} is invalid`,
      );
    }
    for (const name of ['', 'a.b', 'ä', 'a\n']) {
      expect(message(gateway({ name, backends: [] }))).toBe(`name ${name} is invalid`);
    }
  });

  it('of the other types', () => {
    expect(message({ type: 'ip', data: {} })).toBe('public ip workload with no selections');
    const light = (data: object) => ({ type: 'network-light', data });
    expect(message(light({}))).toBe('network resource subnet cannot empty');
    for (const mycelium of [null, undefined, { hex_key: '00' }]) {
      expect(message(light({ subnet: '10.1.1.0/24', mycelium }))).toBe('invalid mycelium key length, expected 32');
    }
    const vm = { ...machine({}, { public_ip: 'nothing' }), type: 'zmachine-light' };
    validateDeployment(parse(vm));
    expect(message({ type: 'zlogs', data: { zmachine: 'vm', output: 'ws://a' } }, { ...vm, name: 'vm' })).toBe(
      "no zmachine with name 'vm' found",
    );
    const logs = (output: string) =>
      message({ type: 'zlogs', data: { zmachine: 'vm', output } }, { name: 'vm', ...machine() });
    expect(logs('')).toBe("invalid output schema '' not supported");
    expect(logs('ws://[')).toContain("missing ']' in host");
  });

  it('asks for no more than a node makes for one contract', () => {
    const disks = (amount: number) => Array.from({ length: amount }, (_, i) => ({ name: `d${i}`, ...ok }));
    validateDeployment(parse(...disks(256)));
    expect(refusal(parse(...disks(257)))).toMatchObject({
      code: 'deployment_amount',
      message: expect.stringContaining('has 257 workloads, more than the 256 a node makes for one contract'),
    });
    const data = { ip_range: '10.1.0.0/16', subnet: '10.1.1.0/24', wireguard_private_key: 'k' };
    const networks = (amount: number) =>
      Array.from({ length: amount }, (_, i) => ({ name: `n${i}`, type: 'network', data }));
    validateDeployment(parse(...networks(16)));
    expect(refusal(parse(...networks(17))).details).toEqual({ what: 'networks', amount: 17, limit: 16 });
    const mounts = Array.from({ length: 24 }, () => ({ name: 'd', mountpoint: '/d' }));
    validateDeployment(parse(machine({ mounts: mounts.slice(1) })));
    expect(refusal(parse(machine({ mounts }))).code).toBe('machine_mounts_too_many');
  });

  it('of many machines with addresses is checked in linear time', () => {
    const workloads = Array.from({ length: 2000 }, (_, i) => [
      { name: `ip${i}`, type: 'ip', data: { v4: true } },
      { name: `vm${i}`, ...machine({}, { public_ip: `ip${i}` }) },
    ]).flat();
    const deployment = parse(...workloads);
    const start = process.cpuUsage();
    expect(refusal(deployment).code).toBe('deployment_amount');
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(1000);
    const shared = parse(...workloads, { name: 'last', ...machine({}, { public_ip: 'ip7' }) });
    expect(refusal(shared)).toMatchObject({
      message: 'public ip is assigned to multiple vms',
      details: { workload: 'vm7', name: 'ip7', machines: ['vm7', 'last'] },
    });
  });
});

describe('workload ids', () => {
  it('come apart as they were put together', () => {
    const id = workloadId(17, 18446744073709551615n, 'vm_1');
    expect(id).toBe('17-18446744073709551615-vm_1');
    expect(parseWorkloadId(id)).toEqual({ twinId: 17, contractId: 18446744073709551615n, name: 'vm_1' });
    expect(parseWorkloadId('1-2-a-b').name).toBe('a-b');
  });

  it.each(['', '1-2', '1-2-', 'a-2-b', '4294967296-1-a', '1-18446744073709551616-a', '-1-2-a'])('refuse %j', (id) => {
    expect(() => parseWorkloadId(id)).toThrow('is not a workload id');
  });
});

import { describe, expect, it } from 'vitest';
import {
  capacityGet,
  commands,
  deploymentChanges,
  deploymentDeploy,
  deploymentGet,
  deploymentList,
  findCommand,
  formatInput,
  formatOutput,
  networkInterfaces,
  networkWireguardPorts,
  nothing,
  parseInput,
  parseOutput,
  statisticsGet,
  systemHypervisor,
} from './index.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('inputs', () => {
  it('ignores the payload of commands without argument', () => {
    const without = commands.filter((command) => (command.input as unknown) === nothing);
    expect(without.map((command) => command.name)).toContain('zos.system.version');
    for (const command of without) {
      for (const payload of ['', 'null', '{"a":', '{}', '\u0000']) {
        expect(parseInput(findCommand(command.name) as never, bytes(payload))).toBeNull();
      }
    }
  });

  it('reads a contract id whatever its case and size', () => {
    expect(parseInput(deploymentGet, '{"Contract_ID":18446744073709551615,"x":1}')).toEqual({
      contract_id: 18446744073709551615n,
    });
    expect(parseInput(deploymentGet, 'null')).toEqual({ contract_id: 0n });
    expect(formatInput(deploymentGet, { contract_id: 9007199254740993n })).toBe('{"contract_id":9007199254740993}');
  });

  it.each([
    ['', 'payload of zos.deployment.changes cannot be read: unexpected end of JSON input'],
    ['{"contract_id":"5"}', 'cannot unmarshal string into Go struct field args.contract_id of type uint64'],
    ['{"contract_id":1.5}', 'cannot unmarshal number 1.5 into Go struct field args.contract_id of type uint64'],
    ['{"contract_id":-1}', 'number -1'],
    [`{"contract_id":1${' '.repeat(70_000)}}`, 'JSON text of 70017 bytes exceeds 65536'],
  ])('refuses %.30j', (payload, text) => {
    expect(() => parseInput(deploymentChanges, payload)).toThrow(text);
  });

  it('reads deployments as nodes do and drops claimed results', () => {
    const payload = '{"contract_id":5,"workloads":[{"name":"a","type":"ip","data":{},"result":{"state":"ok"}}]}';
    const deployment = parseInput(deploymentDeploy, bytes(payload));
    expect(deployment.workloads[0]?.result.state).toBe('');
    expect(() => parseInput(deploymentDeploy, '{')).toThrow('deployment is not valid JSON');
  });
});

describe('outputs', () => {
  it('come back as they went', () => {
    const capacity = { cru: 1, sru: 2 ** 50, hru: 3, mru: 4, ipv4u: 5 };
    const counters = {
      total: capacity,
      used: capacity,
      system: capacity,
      users: { deployments: 1, workloads: 2, last_deployment_timestamp: 1764000000 },
      open_connections: 12,
    };
    const written = formatOutput(statisticsGet, counters);
    expect(written).toBe(JSON.stringify(counters));
    expect(parseOutput(statisticsGet, bytes(written))).toEqual(counters);
    const pool = { name: 'p', type: 'ssd', total: 10, reserved: 4, free: 6, largest_disk: 6 };
    const report = {
      total: capacity,
      system: capacity,
      committed: capacity,
      pending: capacity,
      free: capacity,
      logical_cpus: 2,
      largest_disk: 6,
      pools: [pool],
      waiting: { deployments: 1, workloads: 2, leaving: 0, oldest: 1764000000 },
    };
    expect(parseOutput(capacityGet, formatOutput(capacityGet, report))).toEqual(report);
  });

  it('of lists may be null', () => {
    expect(parseOutput(networkWireguardPorts, 'null')).toEqual([]);
    expect(parseOutput(deploymentList, 'null')).toEqual([]);
    expect(formatOutput(networkWireguardPorts, [4127])).toBe('[4127]');
  });

  it('keep results of deployments and any interface name', () => {
    const workload =
      '{"version":0,"name":"d","type":"zmount","data":{"size": 1},"metadata":"","description":"",' +
      '"result":{"created":5,"state":"ok","message":"","data":{"volume_id":"1-2-d"}}}';
    const changes = parseOutput(deploymentChanges, `[${workload}]`);
    expect(changes[0]?.result.state).toBe('ok');
    expect(formatOutput(deploymentChanges, changes)).toBe(`[${workload}]`);
    const names = parseOutput(networkInterfaces, '{"zos":["192.168.1.10"],"__proto__":null}');
    expect(Object.keys(names)).toEqual(['zos', '__proto__']);
    expect(formatOutput(networkInterfaces, names)).toBe('{"zos":["192.168.1.10"],"__proto__":[]}');
    expect(formatOutput(systemHypervisor, 'kvm')).toBe('"kvm"');
    expect(formatOutput(deploymentDeploy, null)).toBe('null');
  });
});

it('every command has a name of its own', () => {
  expect(new Set(commands.map((command) => command.name)).size).toBe(commands.length);
  expect(findCommand('zos.deployment.deploy')).toBe(deploymentDeploy);
  expect(findCommand('zos.deployment.Deploy')).toBeUndefined();
});

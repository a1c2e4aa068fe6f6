/** Texts that hostile or broken clients send as a deployment, and how each is refused. */
import type { ErrorCode } from '../errors/index.ts';

export interface BadInput {
  readonly name: string;
  readonly text: () => string | Uint8Array;
  readonly code: ErrorCode;
  /** Part of the answer that names the place. */
  readonly says: string;
}

const MiB = 1024 * 1024;

/** A workload with this as its data. */
const workload = (type: string, data: string): string => `{"workloads":[{"name":"a","type":"${type}","data":${data}}]}`;

const machine = (fields: string): string =>
  workload(
    'zmachine',
    `{"network":{"interfaces":[{"network":"n","ip":"10.1.1.2"}]},"compute_capacity":{"cpu":1,"memory":1073741824}${fields}}`,
  );

export const badInputs: readonly BadInput[] = [
  {
    name: '64 MiB of white space',
    text: () => new Uint8Array(64 * MiB).fill(0x20),
    code: 'deployment_too_large',
    says: '67108864 bytes',
  },
  {
    name: '64 MiB of metadata',
    text: () => `{"metadata":"${'x'.repeat(64 * MiB)}"}`,
    code: 'deployment_too_large',
    says: 'bytes of JSON, more than the 1048576',
  },
  {
    name: '100,000 workloads',
    text: () => `{"workloads":[${'{},'.repeat(99_999)}{}]}`,
    code: 'deployment_field',
    says: 'list workloads has 100000 elements',
  },
  {
    name: '16,000 workloads',
    text: () =>
      `{"workloads":[${Array.from({ length: 16_000 }, (_, i) => `{"name":"a${i}","type":"ipv4","data":{}}`).join()}]}`,
    code: 'deployment_amount',
    says: '16000 workloads',
  },
  {
    name: 'half a million empty lists',
    text: () => `{"workloads":[{"data":[${'[],'.repeat(340_000)}[]]}]}`,
    code: 'workload_name_invalid',
    says: 'name cannot be empty',
  },
  {
    name: '100,000 signature requests',
    text: () => `{"signature_requirement":{"requests":[${'{},'.repeat(99_999)}{}]}}`,
    code: 'deployment_field',
    says: 'list signature_requirement.requests has 100000 elements',
  },
  {
    name: '100,000 mounts',
    text: () => machine(`,"mounts":[${'{},'.repeat(99_999)}{}]`),
    code: 'workload_data_undecodable',
    says: 'list mounts has 100000 elements',
  },
  {
    name: 'lists 10,000 deep',
    text: () => `{"workloads":${'['.repeat(10_000)}`,
    code: 'deployment_too_deep',
    says: 'levels',
  },
  {
    name: 'objects 10,000 deep in data',
    text: () => workload('zmount', `${'{"size":'.repeat(10_000)}1${'}'.repeat(10_000)}`),
    code: 'deployment_too_deep',
    says: 'levels',
  },
  {
    name: 'a version as text in a text that breaks off',
    text: () => '{"version":"1","workloads":[',
    code: 'deployment_syntax',
    says: 'unexpected end of JSON input',
  },
  {
    name: 'a version as text before lists 10,000 deep',
    text: () => `{"version":"1","workloads":${'['.repeat(10_000)}`,
    code: 'deployment_too_deep',
    says: 'levels',
  },
  { name: 'a version as text', text: () => '{"version":"1"}', code: 'deployment_field', says: 'Deployment.version' },
  {
    name: 'a size as text',
    text: () => workload('zmount', '{"size":"5"}'),
    code: 'workload_data_undecodable',
    says: 'ZMount.size',
  },
  {
    name: 'a memory as text',
    text: () => machine(',"compute_capacity":{"memory":"1"}'),
    code: 'workload_data_undecodable',
    says: 'MachineCapacity.compute_capacity.memory',
  },
  {
    name: 'NaN',
    text: () => '{"version":NaN}',
    code: 'deployment_syntax',
    says: "'N' looking for beginning of value at offset 11",
  },
  { name: 'Infinity', text: () => '{"version":-Infinity}', code: 'deployment_syntax', says: "'I' in numeric literal" },
  {
    name: 'a size beyond 64 bits',
    text: () => workload('zmount', `{"size":${2n ** 64n}}`),
    code: 'workload_data_undecodable',
    says: 'ZMount.size',
  },
  {
    name: 'a number of a million digits',
    text: () => `{"version":${'9'.repeat(1_000_000)}}`,
    code: 'deployment_field',
    says: 'Deployment.version',
  },
  {
    name: 'bytes that are no UTF-8',
    text: () => Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22),
    code: 'deployment_syntax',
    says: 'not valid UTF-8',
  },
  {
    name: 'half a pair in a name',
    text: () => '{"workloads":[{"name":"\\ud800"}]}',
    code: 'workload_name_invalid',
    says: "'\ufffd'",
  },
  {
    name: '`__proto__` as a type',
    text: () => workload('__proto__', '{}'),
    code: 'workload_type_unknown',
    says: "'__proto__'",
  },
  {
    name: '`constructor` as a type',
    text: () => workload('constructor', '{}'),
    code: 'workload_type_unknown',
    says: "'constructor'",
  },
  {
    name: 'a size in `__proto__`',
    text: () => workload('zmount', '{"__proto__":{"size":5}}'),
    code: 'workload_size_invalid',
    says: 'size',
  },
  {
    name: 'a repeated key whose last value is bad',
    text: () => workload('zmount', '{"size":1,"SIZE":-1}'),
    code: 'workload_data_undecodable',
    says: 'number -1 into Go struct field ZMount.size',
  },
  {
    name: 'a domain of a million labels',
    text: () => workload('gateway-fqdn-proxy', `{"fqdn":"${'a.'.repeat(450_000)}","backends":["x"]}`),
    code: 'gateway_fqdn_invalid',
    says: 'fqdn a.a.',
  },
  {
    name: 'a backend of a megabyte',
    text: () => workload('gateway-name-proxy', `{"name":"a","backends":["http://[${':'.repeat(1_000_000)}"]}`),
    code: 'gateway_backend_invalid',
    says: "missing ']' in host",
  },
  {
    name: 'an address of a megabyte',
    text: () => workload('network', `{"subnet":"${'0:'.repeat(400_000)}/64"}`),
    code: 'workload_data_undecodable',
    says: 'invalid CIDR address: 0:0:',
  },
];

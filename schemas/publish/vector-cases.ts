/** Vectors that follow from a rule, and those whose golden values are not in the file of golden ones. */

const unset = { given: '', hashed: '<nil>' };

/** Values as they are hashed: addresses as Go prints them, hex in lower case, times as seconds. */
export const normalisationVectors = [
  { kind: 'address', ...unset },
  { kind: 'address', given: '10.20.2.5', hashed: '10.20.2.5' },
  { kind: 'address', given: 'FD00:0:0::1', hashed: 'fd00::1' },
  { kind: 'address', given: '2001:0db8:0000:0000:0001:0000:0000:0001', hashed: '2001:db8::1:0:0:1' },
  { kind: 'address', given: '2001:db8:0:1:1:1:1:1', hashed: '2001:db8:0:1:1:1:1:1' },
  { kind: 'address', given: '::', hashed: '::' },
  { kind: 'address', given: '::ffff:10.20.2.5', hashed: '10.20.2.5' },
  { kind: 'address', given: '010.20.2.5', hashed: null },
  { kind: 'address', given: '10.20.2', hashed: null },
  { kind: 'address', given: 'fe80::1%eth0', hashed: null },
  { kind: 'address', given: ' 10.20.2.5', hashed: null },
  { kind: 'prefix', ...unset },
  { kind: 'prefix', given: '10.20.2.0/24', hashed: '10.20.2.0/24' },
  { kind: 'prefix', given: '10.20.2.7/24', hashed: '10.20.2.7/24' },
  { kind: 'prefix', given: 'FD00:0::1/64', hashed: 'fd00::1/64' },
  { kind: 'prefix', given: '10.20.2.0', hashed: null },
  { kind: 'prefix', given: '10.20.2.0/33', hashed: null },
  { kind: 'prefix', given: '10.20.2.0/255.255.255.0', hashed: null },
  { kind: 'hex', given: 'B60F2B7EC39C', hashed: 'b60f2b7ec39c' },
  { kind: 'hex', given: 'b60f2b7ec39', hashed: null },
  { kind: 'hex', given: '0xb60f2b7ec39c', hashed: null },
  { kind: 'time', given: '1764000011', hashed: '1764000011' },
  { kind: 'time', given: '"2025-11-24T16:00:11Z"', hashed: '1764000011' },
  { kind: 'time', given: '"2025-11-24T17:00:11+01:00"', hashed: '1764000011' },
  { kind: 'time', given: '"2025-02-30T00:00:00Z"', hashed: null },
  { kind: 'time', given: '"2025-11-24"', hashed: null },
];

const lightNetwork = {
  version: 0,
  twin_id: 17,
  signature_requirement: { requests: [{ twin_id: 17, required: false, weight: 1 }], weight_required: 1 },
  workloads: [
    {
      version: 0,
      name: 'net1',
      type: 'network-light',
      data: {
        subnet: '10.20.2.0/24',
        mycelium: { hex_key: '9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627', peers: [] },
      },
    },
  ],
};
/** Of the existing node software of both ages. */
const hashes = {
  current: '5a9e73f88a77b7a6f56534440acbdaed',
  'before-wireguard': 'fe89e83d45e6e6c8919cd3296ead6867',
};

export const lightNetworkVectors = [
  {
    name: 'hash_of_a_node_of_today',
    note: 'unset WireGuard fields are hashed as <nil>, nothing and 0',
    deployment: lightNetwork,
    hashes,
    contract_hash: hashes.current,
    formula: 'current',
  },
  {
    name: 'hash_of_an_older_client',
    note: 'WireGuard fields have no part in it; nodes of today refuse it, this node takes it and says so',
    deployment: lightNetwork,
    hashes,
    contract_hash: hashes['before-wireguard'],
    formula: 'before-wireguard',
  },
  {
    name: 'hash_of_something_else',
    note: 'no formula gives it',
    deployment: lightNetwork,
    hashes,
    contract_hash: '75f2673f4bae0f19b04006f39723ee1e',
    formula: null,
  },
];

const workload = (type: string, data: string): [string, number][] => [
  [`{"workloads":[{"name":"a","type":"${type}","data":${data}}]}`, 1],
];

interface BadInputVector {
  readonly name: string;
  readonly parts: [string, number][];
  readonly code: string;
  readonly says: string;
}

export const badInputVectors: readonly BadInputVector[] = [
  {
    name: '64 MiB of white space',
    parts: [[' '.repeat(1024), 65536]],
    code: 'deployment_too_large',
    says: '67108864 bytes',
  },
  {
    name: '100,000 workloads',
    parts: [
      ['{"workloads":[', 1],
      ['{},', 99_999],
      ['{}]}', 1],
    ],
    code: 'deployment_field',
    says: '100000 elements',
  },
  {
    name: 'lists 10,000 deep',
    parts: [
      ['{"workloads":', 1],
      ['[', 10_000],
    ],
    code: 'deployment_too_deep',
    says: 'levels',
  },
  {
    name: 'a number of a million digits',
    parts: [
      ['{"version":', 1],
      ['9', 1_000_000],
      ['}', 1],
    ],
    code: 'deployment_field',
    says: 'Deployment.version',
  },
  { name: 'text that ends early', parts: [['{"version":', 1]], code: 'deployment_syntax', says: 'end of JSON input' },
  { name: 'NaN', parts: [['{"version":NaN}', 1]], code: 'deployment_syntax', says: "'N'" },
  {
    name: 'an integer as text',
    parts: [['{"version":"1"}', 1]],
    code: 'deployment_field',
    says: 'cannot unmarshal string into Go struct field Deployment.version of type uint32',
  },
  {
    name: 'an integer with a fraction of nothing',
    parts: [['{"version":1.0}', 1]],
    code: 'deployment_field',
    says: 'cannot unmarshal number 1.0',
  },
  { name: 'an integer with an exponent', parts: [['{"version":1e3}', 1]], code: 'deployment_field', says: '1e3' },
  {
    name: 'a contract id beyond 64 bits',
    parts: [['{"contract_id":18446744073709551616}', 1]],
    code: 'deployment_field',
    says: '18446744073709551616',
  },
  {
    name: 'a size beyond 64 bits',
    parts: workload('zmount', '{"size":18446744073709551616}'),
    code: 'workload_data_undecodable',
    says: 'ZMount.size',
  },
  {
    name: 'a negative size',
    parts: workload('zmount', '{"size":-1}'),
    code: 'workload_data_undecodable',
    says: 'number -1',
  },
  {
    name: 'a repeated key in another case: each is read, the last counts',
    parts: workload('zmount', '{"size":1,"SIZE":0}'),
    code: 'workload_size_invalid',
    says: 'invalid size',
  },
  {
    name: 'half a surrogate pair in a name',
    parts: [['{"workloads":[{"name":"\\ud800"}]}', 1]],
    code: 'workload_name_invalid',
    says: "'\ufffd'",
  },
  {
    name: '__proto__ is a key like others',
    parts: workload('zmount', '{"__proto__":{"size":5}}'),
    code: 'workload_size_invalid',
    says: 'invalid size',
  },
  {
    name: '__proto__ is no type',
    parts: workload('__proto__', '{}'),
    code: 'workload_type_unknown',
    says: "'__proto__'",
  },
  {
    name: 'no data',
    parts: [['{"workloads":[{"name":"a","type":"ip"}]}', 1]],
    code: 'workload_data_undecodable',
    says: 'unexpected end of JSON input',
  },
];

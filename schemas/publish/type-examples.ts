/** An example of every type: written out for whole values, found inside them for their parts. */
import { CAPACITY, nodeExamples } from './node-examples.ts';

const MYCELIUM_KEY = '9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627';
const WIREGUARD_KEY = '2B1ZRWY8yWHsLf0uJXTFeeZyqxMGTcl2BKYdbWYbiVA=';
const PEER = {
  subnet: '10.20.3.0/24',
  wireguard_public_key: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=',
  allowed_ips: ['10.20.3.0/24', '100.64.20.3/32'],
  endpoint: '185.206.122.31:13231',
};
const ENCRYPTION = { algorithm: 'AES', key: MYCELIUM_KEY };
const BACKEND = { address: '[2a02:1802:5e::1]:9900', namespace: '17-5003-zdb1', password: 'secret' };
const INTERFACES = [{ network: 'net1', ip: '10.20.2.5' }];
const MACHINE = {
  flist: 'https://hub.grid.tf/tf-official-apps/base:latest.flist',
  size: 0,
  compute_capacity: { cpu: 2, memory: 2147483648 },
  mounts: [{ name: 'disk1', mountpoint: '/data' }],
  entrypoint: '/sbin/zinit init',
  env: { SSH_KEY: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me' },
  corex: false,
};
const DISK = {
  version: 0,
  name: 'disk1',
  type: 'zmount',
  data: { size: 10737418240 },
  metadata: '',
  description: 'data disk',
  result: { created: 1764000011, state: 'ok', message: '', data: { volume_id: '17-5002-disk1' } },
};

const deploymentExamples = {
  Deployment: {
    version: 0,
    twin_id: 17,
    contract_id: 5002,
    metadata: '{"version":3,"type":"vm","name":"vm1","projectName":"vm/vm1"}',
    description: '',
    expiration: 0,
    signature_requirement: {
      requests: [{ twin_id: 17, required: false, weight: 1 }],
      weight_required: 1,
      signatures: [
        {
          twin_id: 17,
          signature:
            '4aa6b4d40c4a54cf3bdbeb29470ec2088ebc7118cbd8a1e31fbdde1a436e14c67b0106f7bd76a71bac46baa7f3a20e2151caffe6b2815e359f9af2eae4fdbe06',
          signature_type: 'ed25519',
        },
      ],
      signature_style: '',
    },
    workloads: [DISK],
  },
  ZMount: { size: 10737418240 },
  Volume: { size: 10737418240 },
  ZDB: { size: 5368709120, mode: 'seq', password: 'secret', public: false },
  PublicIP: { v4: true, v6: false },
  PublicIP4: {},
  Network: {
    ip_range: '10.20.0.0/16',
    subnet: '10.20.2.0/24',
    wireguard_private_key: WIREGUARD_KEY,
    wireguard_listen_port: 4127,
    peers: [PEER],
    mycelium: { hex_key: MYCELIUM_KEY, peers: [] },
  },
  NetworkLight: {
    ip_range: '10.20.0.0/16',
    subnet: '10.20.2.0/24',
    wireguard_private_key: WIREGUARD_KEY,
    wireguard_listen_port: 4127,
    peers: [PEER],
    mycelium: { hex_key: MYCELIUM_KEY, peers: [] },
  },
  ZMachine: {
    ...MACHINE,
    network: {
      public_ip: 'vm1ip',
      planetary: true,
      mycelium: { network: 'net1', hex_seed: 'b60f2b7ec39c' },
      interfaces: INTERFACES,
    },
    gpu: ['0000:28:00.0/1002/731f'],
  },
  ZMachineLight: {
    ...MACHINE,
    network: { mycelium: { network: 'net1', hex_seed: 'b60f2b7ec39c' }, interfaces: INTERFACES },
  },
  QuantumSafeFS: {
    cache: 262144000,
    config: {
      minimal_shards: 2,
      expected_shards: 4,
      redundant_groups: 0,
      redundant_nodes: 0,
      max_zdb_data_dir_size: 512,
      encryption: ENCRYPTION,
      meta: { type: 'zdb', config: { prefix: 'p', encryption: ENCRYPTION, backends: [BACKEND] } },
      groups: [{ backends: [BACKEND] }],
      compression: { algorithm: 'snappy' },
    },
  },
  GatewayNameProxy: {
    name: 'mysite',
    tls_passthrough: false,
    backends: ['http://10.20.2.5:8000'],
    network: 'net1',
  },
  GatewayFQDNProxy: { fqdn: 'www.example.com', tls_passthrough: true, backends: ['10.20.2.5:443'], network: 'net1' },
  ZLogs: { zmachine: 'vm1', output: 'wss://logs.example.com/vm1' },
  ZMountResult: { volume_id: '17-5002-disk1' },
  VolumeResult: { id: '17-5002-vol1' },
  ZDBResult: { Namespace: '17-5003-zdb1', IPs: ['2a02:1802:5e::1'], Port: 9900 },
  PublicIPResult: { ip: '185.206.122.40/24', ip6: '', gateway: '185.206.122.1' },
  ZMachineResult: {
    id: '17-5002-vm1',
    ip: '10.20.2.5',
    planetary_ip: '300:e9c4:9048:57cf::1',
    mycelium_ip: '5c4:c176:bf44:b2ab::2',
    console_url: '10.20.2.1:20005',
  },
  ZMachineLightResult: {
    id: '17-5002-vm1',
    ip: '10.20.2.5',
    mycelium_ip: '5c4:c176:bf44:b2ab::2',
    console_url: '[5c4:c176:bf44:b2ab::2]:20005',
  },
  QuantumSafeFSResult: {
    path: '/var/cache/modules/qsfsd/17-5004-qsfs1',
    metrics_endpoint: 'http://[300::1]:9100/metrics',
  },
  GatewayProxyResult: { fqdn: 'mysite.gent01.dev.grid.tf' },
  GatewayFQDNResult: {},
  NodeContract: {
    node_id: 11,
    deployment_hash: 'ac6154dfed8a1ec1467dd4a35de347a7',
    deployment_data: '{"version":3,"type":"vm","name":"vm1","projectName":"vm/vm1"}',
    public_ips: 1,
  },
  ContractData: { version: 3, type: 'vm', name: 'vm1', projectName: 'vm/vm1' },
  NetworkMetadata: {
    version: 3,
    user_accesses: [{ subnet: '10.20.4.0/24', private_key: WIREGUARD_KEY, node_id: 11 }],
  },
  Capacity: CAPACITY,
  Size: 10737418240,
  Uint64: 5002,
  HexBytes: 'b60f2b7ec39c',
  IpAddress: '10.20.2.5',
  IpPrefix: '10.20.2.0/24',
  Timestamp: 1764000011,
};

type Definition = Readonly<Record<string, unknown>>;
type Definitions = Readonly<Record<string, Definition>>;

/** The definitions with an example each; throws for one that none can be found for. */
export function withExamples(definitions: Definitions): Record<string, Definition> {
  const found = new Map<string, unknown>();
  const written = Object.entries({ ...deploymentExamples, ...nodeExamples });
  for (const [name, example] of written) {
    if (!Object.hasOwn(definitions, name)) throw new Error(`there is no type ${name} to give an example of`);
    found.set(name, example);
  }
  for (const [name, example] of written) collect(example, definitions[name] as Definition, definitions, found);
  return Object.fromEntries(
    Object.entries(definitions).map(([name, definition]) => {
      if (!found.has(name)) throw new Error(`type ${name} needs an example`);
      const { title, description, ...shape } = definition;
      return [name, { title, description, examples: [found.get(name)], ...shape }];
    }),
  );
}

/** Keeps the first example of each type met inside a value. */
function collect(value: unknown, schema: Definition, definitions: Definitions, found: Map<string, unknown>): void {
  const { $ref, anyOf, properties, items, additionalProperties } = schema;
  if (typeof $ref === 'string') {
    const name = $ref.slice($ref.lastIndexOf('/') + 1);
    if (!found.has(name)) found.set(name, value);
    collect(value, definitions[name] as Definition, definitions, found);
  } else if (Array.isArray(anyOf)) {
    collect(value, anyOf[0] as Definition, definitions, found);
  } else if (Array.isArray(value)) {
    for (const item of value) if (items !== undefined) collect(item, items as Definition, definitions, found);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, field] of Object.entries(value)) {
      const inner = (properties as Definitions | undefined)?.[key] ?? additionalProperties;
      if (typeof inner === 'object') collect(field, inner as Definition, definitions, found);
    }
  }
}

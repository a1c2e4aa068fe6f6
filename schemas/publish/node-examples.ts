/** Examples of what nodes say of themselves; whole answers, in which their parts are found. */

export const CAPACITY = { cru: 16, sru: 1000204886016, hru: 2000398934016, mru: 67376881664, ipv4u: 0 };
const SYSTEM = { cru: 0, sru: 107374182400, hru: 0, mru: 6737688166, ipv4u: 0 };
const COMMITTED = { cru: 2, sru: 11261706240, hru: 0, mru: 2147483648, ipv4u: 0 };
const NONE = { cru: 0, sru: 0, hru: 0, mru: 0, ipv4u: 0 };
const FREE = { cru: 14, sru: 881568997376, hru: 2000398934016, mru: 58491709850, ipv4u: 0 };
const REPORT = {
  total: CAPACITY,
  system: SYSTEM,
  committed: COMMITTED,
  pending: NONE,
  free: FREE,
  logical_cpus: 8,
  largest_disk: 881568997376,
  pools: [
    {
      name: '8b3aa4fa-6c0f-4f41-8e0c-2f0f5f5f0d0b',
      type: 'ssd',
      total: 1000204886016,
      reserved: 118635888640,
      free: 881568997376,
      largest_disk: 881568997376,
    },
  ],
  waiting: { deployments: 0, workloads: 0, leaving: 0, oldest: 0 },
};
const ID = '17-5002-vm1';

export const nodeExamples = {
  CapacityReport: REPORT,
  Counters: {
    total: CAPACITY,
    used: { cru: 2, sru: 118635888640, hru: 0, mru: 8885171814, ipv4u: 0 },
    system: SYSTEM,
    users: { deployments: 2, workloads: 4, last_deployment_timestamp: 1764000011 },
    open_connections: 12,
  },
  PoolMetrics: {
    name: '8b3aa4fa-6c0f-4f41-8e0c-2f0f5f5f0d0b',
    type: 'ssd',
    size: 1000204886016,
    used: 118635888640,
  },
  Version: { zos: '3.13.0', zinit: 'v0.2.14' },
  DMI: {
    tooling: { aggregator: 'dmidecode 3.4', decoder: 'gridnode' },
    sections: [
      {
        handleline: 'Handle 0x0000, DMI type 0, 26 bytes',
        typestr: 'BIOS',
        typenum: 0,
        subsections: [
          {
            title: 'BIOS Information',
            properties: { Vendor: { value: 'SeaBIOS' }, Characteristics: { value: '', items: ['ACPI is supported'] } },
          },
        ],
      },
    ],
  },
  Diagnostics: {
    system_status_ok: true,
    modules: {
      storage: {
        status: {
          objects: [{ Name: 'storage', Version: '0.0.1' }],
          workers: [{ state: 'free', time: '2026-01-01T00:00:00Z', action: '' }],
        },
      },
    },
    healthy: true,
  },
  GPUInfo: {
    id: '0000:28:00.0/1002/731f',
    vendor: 'Advanced Micro Devices, Inc. [AMD/ATI]',
    device: 'Navi 10',
    vram: 8192,
    contract: 0,
  },
  Location: {
    longitude: 3.7,
    latitude: 51,
    continent: 'Europe',
    country_name: 'Belgium',
    country_code: 'BE',
    city_name: 'Gent',
  },
  PublicConfig: {
    type: '',
    ipv4: '185.206.122.31/24',
    ipv6: '2a10:b600:1::cc4:7a30:65b5/64',
    gw4: '185.206.122.1',
    gw6: 'fe80::1',
    domain: 'gent01.dev.grid.tf',
  },
  Interface: { ips: ['192.168.1.10/24'], mac: '54:45:46:f6:02:61' },
  ExitDevice: { is_single: true, is_dual: false, dual_interface: '' },
  TaskResult: {
    name: 'cpu-benchmark',
    description: 'how fast the processors are',
    timestamp: 1764000000,
    result: { single: 1.1, multi: 1.4, threads: 8, workloads: 0 },
  },
  IperfResult: {
    upload_speed: 941000000,
    download_speed: 938000000,
    server_host: '5.196.6.1',
    server_ip: '5.196.6.1',
    server_port: 5201,
    test_type: 'tcp',
    error: '',
    cpu_report: {
      host_total: 4.1,
      host_user: 0.3,
      host_system: 3.8,
      remote_total: 6.2,
      remote_user: 0.4,
      remote_system: 5.8,
    },
  },
  CPUBenchmark: { single: 1.1, multi: 1.4, threads: 8, workloads: 0 },
  IPReport: { state: 'valid', reason: '' },
  Plan: {
    fits: false,
    version: 0,
    needs: { cru: 0, sru: 2199023255552, hru: 0, mru: 0, ipv4u: 0 },
    workloads: [
      {
        name: 'disk1',
        type: 'zmount',
        action: 'add',
        needs: { cru: 0, sru: 2199023255552, hru: 0, mru: 0, ipv4u: 0 },
        pool: '',
      },
    ],
    reasons: [
      {
        code: 'capacity_exceeded',
        workload: 'disk1',
        message: 'no pool of this node has 2199023255552 bytes free',
        remedy: 'ask for less, or choose another node',
        retryable: true,
        details: { requested: 2199023255552, available: 881568997376 },
      },
    ],
    capacity: REPORT,
  },
  WaitReport: {
    settled: false,
    ok: false,
    version: 0,
    step: 'vm1: image',
    workloads: [{ name: 'vm1', type: 'zmachine', version: 0, state: 'init', message: '' }],
    operation: {
      id: 'op-12',
      kind: 'create',
      state: 'running',
      contract_id: 5002,
      version: 0,
      workload: '',
      queue_position: 0,
      asked_at: 1764000011120,
      started_at: 1764000011124,
      ended_at: 0,
      attempts: 1,
      crashes: 0,
      last_error: '',
      reason: '',
      trace: '0b9a3a55-6b1e-4c6f-8a3c-7d5f8a2f3c10',
      steps: [{ workload: 'vm1', step: 'image', state: 'started', message: '', at: 1764000011131 }],
    },
  },
  ListResponse: {
    deployments: [{ twin_id: 17, contract_id: 5002, workloads: [{ type: 'zmount', name: 'disk1', state: 'ok' }] }],
  },
  GetResponse: {
    deployment: {
      version: 0,
      twin_id: 17,
      contract_id: 5002,
      metadata: '',
      description: '',
      expiration: 0,
      signature_requirement: { requests: [], weight_required: 0, signatures: [], signature_style: '' },
      workloads: [],
    },
  },
  HistoryResponse: {
    deployment: '17:5002',
    history: [{ seq: 1, type: 'zmount', name: 'disk1', created: 1764000010, state: 'init', message: '' }],
  },
  InfoResponse: {
    workload_id: ID,
    type: 'zmachine',
    name: 'vm1',
    info: { HtEnabled: false, Memory: 2048, CPU: 2 },
    logs: 'login:',
  },
  HealthResponse: {
    twin_id: 17,
    contract_id: 5002,
    workloads: [
      {
        workload_id: ID,
        type: 'zmachine',
        name: 'vm1',
        status: 'unhealthy',
        checks: [{ name: 'vm.process', ok: false, message: 'process is not there', evidence: { pid: 0 } }],
      },
    ],
  },
  Limits: {
    envelope: {
      size_bytes: 1310720,
      payload_bytes: 1048604,
      uid_characters: 64,
      tags_characters: 256,
      session_characters: 64,
      command_characters: 128,
      schema_characters: 128,
      federation_characters: 255,
      relays: 8,
      relay_characters: 255,
    },
    clock: { now: 1764000011, lifetime_seconds: 3600, ahead_seconds: 60 },
    replay: { requests_per_twin: 4096, requests_in_all: 262144 },
    rate: { per_second_per_twin: 20, burst_per_twin: 100, per_second_in_all: 500, burst_in_all: 2000 },
    concurrency: {
      requests_per_twin: 16,
      requests_in_all: 256,
      bytes_in_all: 67108864,
      twin_lookups: 16,
      waits_per_twin: 4,
      waits_in_all: 64,
      slow_per_twin: 2,
      slow_in_all: 8,
    },
    overload: { wait_ms: 10, interval_ms: 200 },
    refusals_answered: { per_second_per_twin: 1, burst_per_twin: 5, per_second_in_all: 50 },
    encryption_required: false,
    twins: { cache_seconds: 600 },
    command: { deadline_seconds: 60, input_bytes: 65536, deployment_bytes: 1048576 },
    answer: { size_bytes: 16777216 },
  },
} as const;

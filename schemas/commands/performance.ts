/** zos.perf.*: what the node measured of itself, by a schedule. */
import { described, list, map, struct } from '../gojson/codec.ts';
import { count, float64, raw, text, timestamp, uint16 } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const TaskResult = struct(
  'pkg.TaskResult',
  {
    name: described(text, 'name of the task'),
    description: described(text, 'what the task measures'),
    timestamp: described(timestamp, 'Unix seconds of the end of the run'),
    result: described(raw, 'what was found; its shape follows from the name'),
  },
  'What a task that measures the node found last.',
);

const percent = (of: string) => described(float64, `percent of ${of}`);

export const IperfResult = struct(
  'iperf.IperfResult',
  {
    upload_speed: described(float64, 'bits a second that arrived there'),
    download_speed: described(float64, 'bits a second that arrived here'),
    server_host: described(text, 'who was measured against'),
    server_ip: described(text, 'address measured against'),
    server_port: described(uint16, 'TCP or UDP port'),
    test_type: described(text, '`tcp` or `udp`'),
    error: described(text, 'why nothing was measured; empty on success'),
    cpu_report: struct(
      'iperf.CPUUtilizationPercent',
      {
        host_total: percent('a processor here'),
        host_user: percent('a processor here, in programs'),
        host_system: percent('a processor here, in the kernel'),
        remote_total: percent('a processor there'),
        remote_user: percent('a processor there, in programs'),
        remote_system: percent('a processor there, in the kernel'),
      },
      'What the measurement itself took of both processors.',
    ),
  },
  'A measurement of the line to another node.',
);

export const CpuBenchmark = struct(
  'cpubench.CPUBenchmark',
  {
    single: described(float64, 'seconds of processor time of a fixed work on one thread'),
    multi: described(float64, 'the same of the slowest thread when every thread does the work at once'),
    threads: described(count, 'logical processors'),
    workloads: described(count, 'workloads on the node'),
  },
  'How fast the processors are.',
);

export const PublicIpReport = struct(
  'publicip.IPReport',
  {
    state: described(text, '`valid`, `invalid` or `skipped`'),
    reason: described(text, 'why it is not valid; empty when it is'),
  },
  'Whether a public address works.',
);

/** What a task's `result` holds, by the task's name. */
export const taskResults = {
  iperf: list(IperfResult),
  'cpu-benchmark': CpuBenchmark,
  'public-ip-validation': described(map(PublicIpReport), 'by address with prefix length'),
  healthcheck: described(map(list(text)), 'findings by what was looked at; empty lists are healthy'),
  provisiontest: described(list(text), 'errors of a trial deployment'),
} as const;

export const perfGet = defineCommand({
  name: 'zos.perf.get',
  summary: 'The last result of one scheduled measurement.',
  caller: 'any',
  input: struct('args', {
    name: described(text, `one of ${Object.keys(taskResults).join(', ')}`),
  }),
  output: TaskResult,
  unreadable: 'failed to unmarshal payload',
  errors: ['perf_result_missing'],
});

export const perfGetAll = defineCommand({
  name: 'zos.perf.get_all',
  summary: 'The last result of every scheduled measurement that has run.',
  caller: 'any',
  input: nothing,
  output: list(TaskResult),
});

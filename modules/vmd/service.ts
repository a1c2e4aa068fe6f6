/** Serves the bus interface of vmd. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { Service } from '../zbus/definition.ts';
import { machineConfig } from './config.ts';
import { CONSOLE_LIMIT_BYTES, consoleTail, LOG_TAIL_BYTES, NO_LOGS } from './console.ts';
import type { vmd } from './interface.ts';
import type { Machines } from './machines.ts';
import { machineMetric } from './metrics.ts';

/** `hostCpus`: logical CPUs that a machine may have at most; this host's where left out. */
export function vmdService(machines: Machines, log: Logger, hostCpus?: number): Service<typeof vmd> {
  return {
    async Run({ vm }, { trace }) {
      const config = machineConfig(vm, hostCpus);
      log.info({ trace, vm: config.name, cpus: config.cpus, memoryBytes: config.memoryBytes }, 'run');
      await machines.run(config);
      // Web consoles are not offered here; clients take an empty address as that.
      return { ConsoleURL: '' };
    },
    async Inspect({ name }) {
      const { cpus, memoryMib } = await running(machines, name).inspect();
      return { HtEnabled: false, Memory: memoryMib, CPU: cpus };
    },
    async Delete({ name }, { trace }) {
      log.info({ trace, vm: name }, 'delete');
      await machines.delete(name);
    },
    Exists({ name }) {
      return machines.find(name) !== undefined;
    },
    async Logs({ name }) {
      return (await consoleTail(machines.get(name).consoleLog, LOG_TAIL_BYTES)) ?? NO_LOGS;
    },
    async LogsFull({ name }) {
      return (await consoleTail(machines.get(name).consoleLog, CONSOLE_LIMIT_BYTES)) ?? NO_LOGS;
    },
    List() {
      return machines.list().map((machine) => machine.config.name);
    },
    async Metrics() {
      const taps = await machines.traffic();
      const metricOf = (names: readonly string[]) => machineMetric(names, taps);
      return new Map(
        machines.list().map(({ config }) => [config.name, metricOf(config.interfaces.map(({ tap }) => tap))]),
      );
    },
    async Lock({ name, lock }, { trace }) {
      log.info({ trace, vm: name, lock }, 'lock');
      await running(machines, name).lock(lock);
    },
    StreamCreate({ name, stream }) {
      if (stream.ID === '') throw new GridError('machine_invalid', { field: 'ID', reason: 'missing stream id' });
      throw new GridError('machine_stream_unsupported', { name, id: stream.ID });
    },
    StreamDelete() {
      // No stream exists, and deleting an unknown one succeeds on the grid.
    },
  };
}

function running(machines: Machines, name: string) {
  const machine = machines.find(name);
  if (machine === undefined) throw new GridError('machine_unknown', { name });
  return machine;
}

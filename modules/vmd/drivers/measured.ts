/** Machines whose starts, pauses and ends are measured, whatever runs them. */

import type { DaemonMetrics } from '../../zbus/telemetry/metrics.ts';
import { Gauge } from '../../zbus/telemetry/prometheus.ts';
import type { MachineDriver, VirtualMachine } from './driver.ts';

export function measuredMachines(metrics: DaemonMetrics, driver: MachineDriver): MachineDriver {
  const machine = (one: VirtualMachine): VirtualMachine => metrics.driver('machine', one);
  const machines = metrics.driver('machines', driver, ['fresh']);
  return {
    fresh: (config, removed) => machine(driver.fresh(config, removed)),
    found: async (removed) => (await machines.found(removed)).map(machine),
    traffic: () => machines.traffic(),
    items: () => machines.items(),
    removeItem: (kind, name) => machines.removeItem(kind, name),
  };
}

export function registerMachineCount({ registry }: DaemonMetrics, count: () => number): void {
  new Gauge({
    name: 'vmd_machines',
    help: 'Virtual machines that run on the node, paused ones too',
    registers: [registry],
    collect() {
      this.set(count());
    },
  });
}

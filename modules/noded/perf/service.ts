/** The measurements on the bus: what existing daemons and the gateway read, and what the operator may start. */
import type { Service } from '../../zbus/definition.ts';
import type { Infer } from '../../zbus/wire.ts';
import type { performanceMonitor, performanceRuns, TaskResult as WireResult } from '../interface.ts';
import type { PerformanceMonitor } from './monitor.ts';
import type { TaskResult } from './task.ts';

function toWire({ name, description, timestamp, result }: TaskResult): Infer<typeof WireResult> {
  return { Name: name, Description: description, Timestamp: BigInt(timestamp), Result: result };
}

export function monitorService(monitor: PerformanceMonitor): Service<typeof performanceMonitor> {
  return {
    Get: ({ taskName }) => toWire(monitor.get(taskName)),
    GetAll: () => monitor.all().map(toWire),
  };
}

export function runsService(monitor: PerformanceMonitor): Service<typeof performanceRuns> {
  return {
    // A caller that leaves does not end the run: its result is kept for the next who asks.
    Run: async ({ taskName }) => toWire(await monitor.runNow(taskName)),
    Tasks: () =>
      monitor.states().map((state) => ({
        Name: state.name,
        Schedule: state.schedule,
        JitterSeconds: state.jitterSeconds,
        Running: state.running,
        NextRun: state.nextRun,
        LastError: state.lastError,
      })),
  };
}

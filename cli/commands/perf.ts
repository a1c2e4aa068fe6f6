import { performanceMonitor, performanceRuns } from '../../modules/noded/interface.ts';
import type { ZbusClient } from '../../modules/zbus/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { table } from '../table.ts';
import { busOptions, withBus } from '../zbus/bus.ts';

const usage = `usage: gridnode perf [TASK] [--run] [--state DIR] [--json]

What the node measured of itself: every task with its schedule and last run, or
the last result of one. --run measures now, which needs the node's own machine.`;

const ASK_DEADLINE_MS = 10_000;
/** The longest task measures up to so long. */
const RUN_DEADLINE_MS = 3_600_000;

export const command: Command = {
  usage,
  async run(args) {
    const options = { ...busOptions, run: { type: 'boolean' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = readOptions(args, options, usage);
    const [task, ...more] = positionals;
    if (more.length > 0 || (values.run === true && task === undefined)) throw new CliError(usage);
    const text = await withBus(values, async (bus) => {
      if (task === undefined) return overview(bus, values.json === true);
      await known(bus, task);
      return values.run === true ? run(bus, task) : last(bus, task);
    });
    process.stdout.write(`${text}\n`);
    return 0;
  },
};

/** Times in UTC, as the schedules are. */
function when(seconds: number): string {
  return seconds === 0 ? '-' : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

async function overview(bus: ZbusClient, json: boolean): Promise<string> {
  const asking = { deadlineMs: ASK_DEADLINE_MS };
  const [tasks, results] = await Promise.all([
    bus.of(performanceRuns).Tasks({}, asking),
    bus.of(performanceMonitor).GetAll({}, asking),
  ]);
  const ended = new Map(results.map(({ Name, Timestamp }) => [Name, Number(Timestamp)]));
  const states = tasks.map((task) => ({ ...task, LastRun: ended.get(task.Name) ?? 0 }));
  if (json) return JSON.stringify(states);
  return table(
    ['task', 'schedule (UTC)', 'last result', 'next run', 'last failure'],
    states.map(({ Name, Schedule, JitterSeconds, Running, LastRun, NextRun, LastError }) => [
      Name,
      JitterSeconds === 0 ? Schedule : `${Schedule} + up to ${JitterSeconds} s`,
      when(LastRun),
      Running ? 'runs now' : when(NextRun),
      LastError,
    ]),
  );
}

/** Throws `CliError` for what is no task of the node. */
async function known(bus: ZbusClient, taskName: string): Promise<void> {
  const tasks = await bus.of(performanceRuns).Tasks({}, { deadlineMs: ASK_DEADLINE_MS });
  if (tasks.some(({ Name }) => Name === taskName)) return;
  throw new CliError(`no task '${taskName}'; there are ${tasks.map(({ Name }) => Name).join(', ')}`);
}

async function last(bus: ZbusClient, taskName: string): Promise<string> {
  const { Result } = await bus.of(performanceMonitor).Get({ taskName }, { deadlineMs: ASK_DEADLINE_MS });
  return JSON.stringify(Result, null, 2);
}

async function run(bus: ZbusClient, taskName: string): Promise<string> {
  const { Result } = await bus.of(performanceRuns).Run({ taskName }, { deadlineMs: RUN_DEADLINE_MS });
  return JSON.stringify(Result, null, 2);
}

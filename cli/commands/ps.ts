import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import type { ZbusClient } from '../../modules/zbus/index.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { planner, type Operation as WireOperation } from '../../provision/interface.ts';
import { type Command, readFlags } from '../command.ts';
import { table } from '../table.ts';
import { busOptions, withBus } from '../zbus/bus.ts';

const usage = `usage: gridnode ps [--all] [--watch] [--json] [--state DIR]

Operations of the node, one a line: what was asked for which deployment, where it
stands in the queue, what is done now, for how long, and why it was tried again.
--all shows those that ended in the last ten minutes, too; --watch looks again
each second. Needs the node's own machine: tenants ask zos.deployment.operations.`;

const ASK_DEADLINE_MS = 10_000;
const WATCH_MS = 1_000;
/** How long ago an operation may have ended to be shown with `--all`. */
const RECENT_MS = 600_000;
const ERROR_CHARACTERS = 80;

type Operation = Infer<typeof WireOperation>;

export const command: Command = {
  usage,
  async run(args) {
    const options = {
      ...busOptions,
      all: { type: 'boolean' },
      watch: { type: 'boolean' },
      json: { type: 'boolean' },
    } as const;
    const values = readFlags(args, options, usage);
    const show = (operations: readonly Operation[]): string =>
      values.json === true ? JSON.stringify(operations, plain) : operationsTable(operations, Date.now());
    await withBus(values, async (bus) => {
      for (;;) {
        const shown = show(chosen(await ask(bus), values.all === true, Date.now()));
        if (values.watch === true && values.json !== true) process.stdout.write('\u001b[H\u001b[2J');
        process.stdout.write(`${shown}\n`);
        if (values.watch !== true) return;
        await sleep(WATCH_MS);
      }
    });
    return 0;
  },
};

async function ask(bus: ZbusClient): Promise<readonly Operation[]> {
  return await bus.of(planner).Operations({ twin: 0, contractID: 0n }, { deadlineMs: ASK_DEADLINE_MS });
}

/** What has not ended, newest first, then what ended lately where that is wanted. */
export function chosen(operations: readonly Operation[], all: boolean, now: number): Operation[] {
  const newestFirst = operations.toReversed();
  const open = newestFirst.filter(({ EndedAt }) => EndedAt === 0);
  if (!all) return open;
  return [...open, ...newestFirst.filter(({ EndedAt }) => EndedAt !== 0 && now - EndedAt <= RECENT_MS)];
}

export function operationsTable(operations: readonly Operation[], now: number): string {
  if (operations.length === 0) return 'nothing is under way; what ended lately: gridnode ps --all';
  const head = [
    'id',
    'twin',
    'contract',
    'kind',
    'version',
    'state',
    'queue',
    'step',
    'time',
    'attempts',
    'last error, or reason',
  ];
  const rows = table(
    head,
    operations.map((one) => [
      one.ID,
      `${one.TwinID}`,
      `${one.ContractID}`,
      one.Workload === '' ? one.Kind : `${one.Kind} ${one.Workload}`,
      `${one.Version}`,
      one.State,
      one.State === 'queued' ? `${one.QueuePosition}` : '-',
      stepOf(one),
      duration((one.EndedAt || now) - (one.StartedAt || one.AskedAt)),
      one.Crashes === 0 ? `${one.Attempts}` : `${one.Attempts} (${one.Crashes} crashed)`,
      oneLine(one.LastError || one.Reason),
    ]),
  );
  if (!operations.some(({ State: state }) => state === 'parked')) return rows;
  return `${rows}\nparked: tried again after ten minutes, or at once when it is updated or cancelled; the whole error: gridnode ps --json`;
}

/** The first of what is under way, and how many beside it. */
function stepOf({ Steps: steps }: Operation): string {
  const [first] = steps;
  if (first === undefined) return '-';
  const name = `${first.Workload}: ${first.Step}`;
  return steps.length === 1 ? name : `${name} +${steps.length - 1}`;
}

/** `12s`, `3m 05s`, `2h 07m`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (value: number): string => `${value}`.padStart(2, '0');
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3_600)}h ${two(Math.floor((seconds % 3_600) / 60))}m`;
}

/** An error quotes what tenants sent: no control character of it may reach a terminal. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant.
  const plainText = stripVTControlCharacters(text).replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return plainText.length > ERROR_CHARACTERS ? `${plainText.slice(0, ERROR_CHARACTERS - 1)}…` : plainText;
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value;
}

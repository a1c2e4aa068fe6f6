import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type UnitStatus, ZinitClient } from '../../modules/zinit/index.ts';
import { CliError, type Command, readFlags } from '../command.ts';
import { checkedLevel } from '../log-level.ts';
import { type Layout, makeLayout } from '../node/layout.ts';
import { stopNode, supervisorOf } from '../node/lifecycle.ts';
import { clientFile, readClientFile, type SimulatedWishes, startSimulated } from '../node/start-simulated.ts';
import { endOutput } from '../output.ts';
import { parseSize, size } from '../table.ts';
import { checkedTwin } from '../twin-option.ts';

const usage = `usage: gridnode up --simulate [options]

Starts a node for trying clients on: gateway, relay, chain, bus, orchestrator and
capacity are the real ones; disks, networks, images and machines are only entries
in books, so nothing runs. Needs no root, only redis-server. See docs/simulate.md.

Runs until Ctrl-C, or with --background until: gridnode down

  --state DIR         where the node lives; several run side by side
  --total LIST        machine it pretends to be (default cru=8,mru=32G,sru=1T,hru=4T)
  --delay MS          how long each change of the pretended host takes (default 0)
  --fail PATTERN      changes of the host whose name this regular expression matches fail,
                      as 'vmd run' or 'createDisk .*-data'; may be given more than once
  --admin-twin ID     twin that may look at every twin's deployments (zos.debug.*);
                      may be given more than once
  --background        return when the node answers
  --json              what a client needs as one line of JSON, secrets included
  --log-level LEVEL   trace, debug, info, warn, error

A node that ran before goes on with what it had accepted, and with its options;
--fail '' and --admin-twin '' take earlier ones back.`;

const options = {
  simulate: { type: 'boolean' },
  state: { type: 'string' },
  total: { type: 'string' },
  delay: { type: 'string' },
  fail: { type: 'string', multiple: true },
  'admin-twin': { type: 'string', multiple: true },
  background: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  'log-level': { type: 'string' },
} as const;

const LONGEST_DELAY_MS = 60_000;
const LOOK_MS = 1_000;

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    const startedAt = performance.now();
    const values = readFlags(args, options, usage);
    const wishes: SimulatedWishes = {
      size: readTotal(values.total),
      delayMs: readDelay(values.delay),
      fail: named(values.fail)?.map(checkedPattern),
      adminTwins: named(values['admin-twin'])?.map(checkedTwin),
      logLevel: values['log-level'] === undefined ? undefined : checkedLevel(values['log-level']),
    };
    const layout = makeLayout(values.state);
    const stopping = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => stopping.abort(new CliError(`ended by ${signal}`)));
    }
    try {
      await startSimulated(layout, wishes, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) await stopNode(layout, { purge: false });
      throw error;
    }
    await say(layout, values.json, performance.now() - startedAt);
    if (values.background) return 0;
    process.stderr.write('runs until Ctrl-C; with --background this command returns, and gridnode down ends it\n');
    endOutput();
    if (await untilOver(layout, stopping.signal)) {
      await stopNode(layout, { purge: false });
      process.stderr.write('stopped; what was accepted goes on at the next start\n');
    }
    return 0;
  },
};

/** `cru=4,mru=16G,…`; what is not named stays. */
function readTotal(text: string | undefined): SimulatedWishes['size'] {
  const wanted: { cru?: number; mru?: number; sru?: number; hru?: number } = {};
  for (const part of text?.split(',') ?? []) {
    const [name = '', amount = ''] = part.split('=');
    if (name !== 'cru' && name !== 'mru' && name !== 'sru' && name !== 'hru') {
      throw new CliError(`--total ${text}: '${part}' is none of cru=, mru=, sru=, hru=`);
    }
    const value = name === 'cru' && !/^\d+$/.test(amount) ? undefined : parseSize(amount);
    const most = name === 'cru' ? 1024 : Number.MAX_SAFE_INTEGER;
    const least = name === 'cru' || name === 'mru' ? 1 : 0;
    if (value === undefined || value < least || value > most) {
      throw new CliError(`--total ${text}: '${part}': write cru=8 for processors, and mru=32G or sru=1T for bytes`);
    }
    wanted[name] = value;
  }
  return wanted;
}

/** Without what is empty, which a person writes for "none any more". */
function named(texts: readonly string[] | undefined): readonly string[] | undefined {
  return texts?.filter((text) => text !== '');
}

function readDelay(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= LONGEST_DELAY_MS) return value;
  throw new CliError(`--delay ${text}: milliseconds, at most ${LONGEST_DELAY_MS}`);
}

function checkedPattern(text: string): string {
  try {
    return new RegExp(text).source;
  } catch (error) {
    throw new CliError(`--fail: ${(error as Error).message}`);
  }
}

const person = z.object({ name: z.string(), twin: z.int(), key_type: z.string(), mnemonic: z.string() });
const clientFacts = z.object({
  chain: z.string(),
  relay: z.string(),
  web: z.string(),
  node: z.object({
    id: z.int(),
    twin: z.int(),
    farm: z.int(),
    cru: z.int(),
    mru: z.int(),
    sru: z.int(),
    hru: z.int(),
  }),
  tenants: z.array(person),
});

async function say(layout: Layout, json: boolean, tookMs: number): Promise<void> {
  const text = await readClientFile(layout);
  process.stderr.write(`ready in ${(tookMs / 1000).toFixed(1)} s: a simulated node; machines are entries in books\n`);
  if (json) {
    process.stdout.write(`${JSON.stringify(JSON.parse(text))}\n`);
    return;
  }
  const { chain, relay, web, node, tenants } = clientFacts.parse(JSON.parse(text));
  const lines = [
    `chain    ${chain}`,
    `relay    ${relay}`,
    `web      ${web}  (grid proxy, GraphQL)`,
    `node     ${node.id}, twin ${node.twin}, farm ${node.farm}: ${node.cru} CPUs, memory ${size(node.mru)}, SSD ${size(node.sru)}, HDD ${size(node.hru)}`,
    ...tenants.map((one) => `tenant   twin ${one.twin}, ${one.key_type}: ${one.mnemonic}`),
    `all of it: ${clientFile(layout)}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Tells of crashes until a person ends it (true), or the node was stopped from elsewhere (false). */
async function untilOver(layout: Layout, signal: AbortSignal): Promise<boolean> {
  const client = new ZinitClient(layout.control);
  const seen = new Map<string, UnitStatus>();
  while (!signal.aborted) {
    const units = await client.list().catch(() => undefined);
    if (units === undefined && (await supervisorOf(layout)) === undefined) {
      process.stderr.write('the node was stopped\n');
      return false;
    }
    for (const unit of units ?? []) {
      const before = seen.get(unit.name);
      seen.set(unit.name, unit);
      if (before === undefined || (before.state === unit.state && before.restarts === unit.restarts)) continue;
      const why = unit.reason === '' ? '' : `: ${unit.reason}`;
      process.stderr.write(`${unit.name} ${unit.state}${why} (started again ${unit.restarts} times)\n`);
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
  return true;
}

/** Starts a node's supervisor, waits for its units, and takes everything down again. */
import { spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson } from '../../modules/host/files.ts';
import { run } from '../../modules/host/run.ts';
import { isAlive, killGroup, type ProcessMark, type UnitStatus, ZinitClient } from '../../modules/zinit/index.ts';
import { CliError } from '../command.ts';
import { loadConfig, type NodeConfig } from './config.ts';
import { enterWords, namespaceOf, removeNamespace } from './isolation.ts';
import { checkout, type Layout } from './layout.ts';
import { checkNodeFolder, removeFolder } from './ownership.ts';
import { nodeOptions } from './unit-file.ts';
import { writeUnits } from './units.ts';

const PURGE_DEADLINE_MS = 60_000;
/** Characters at the end of a log that are looked through. */
const LOG_TAIL = 65_536;

/** The process that supervises this node, if it lives. */
export async function supervisorOf(layout: Layout): Promise<ProcessMark | undefined> {
  const mark = (await readJson(join(layout.units, 'supervisor.json')).catch(() => undefined)) as
    | ProcessMark
    | undefined;
  return mark !== undefined && isAlive(mark) ? mark : undefined;
}

/** The process that supervises this node. Throws `CliError` for one that is stopped, with the command that starts it. */
export async function requireRunning(layout: Layout): Promise<ProcessMark> {
  const supervisor = await supervisorOf(layout);
  if (supervisor !== undefined) return supervisor;
  throw new CliError(`the node in ${layout.state} is stopped; start it with: ${await startCommand(layout)}`);
}

/** What a person types to start the node of this folder again. */
export async function startCommand(layout: Layout): Promise<string> {
  const kind = (await isSimulated(layout)) ? ' --simulate --background' : '';
  return `gridnode up${kind} --state ${layout.state}`;
}

/** Writes the units and starts the supervisor; returns once it answers. */
export async function startSupervisor(layout: Layout, config: NodeConfig): Promise<ZinitClient> {
  if ((await supervisorOf(layout)) !== undefined) {
    throw new CliError(`the node in ${layout.state} is running; see: gridnode status --state ${layout.state}`);
  }
  await writeUnits(layout, config);
  await mkdir(join(layout.state, 'log'), { recursive: true, mode: 0o700 });
  const log = openSync(join(layout.state, 'log', 'zinit.log'), 'a', 0o600);
  const zinit = join(checkout, 'modules/zinit/main.ts');
  const own = [process.execPath, ...nodeOptions.split(' '), zinit, '--state', layout.state];
  const [file = '', ...args] = config.isolated ? [...enterWords(layout), ...own] : own;
  const child = spawn(file, args, { detached: true, stdio: ['ignore', log, log] });
  let failed: string | undefined;
  child.on('error', (error) => {
    failed = error.message;
  });
  child.on('exit', (code) => {
    failed ??= `it ended with status ${code}`;
  });
  child.unref();
  const client = new ZinitClient(layout.control);
  const until = Date.now() + 15_000;
  while (Date.now() < until && failed === undefined) {
    const listed = await client.list().catch(() => undefined);
    if (listed !== undefined) return client;
    await sleep(25);
  }
  throw new CliError(
    `the supervisor did not start${failed === undefined ? ' within 15 s' : `: ${failed}`}; see ${layout.state}/log/zinit.log`,
  );
}

/** Waits until the units run; `onUnit` hears of each change. Throws `CliError` naming what did not start. */
export async function waitForUnits(
  client: ZinitClient,
  options: {
    readonly deadlineMs: number;
    /** Folder of the units' logs: the last warning of the first that does not start is told. */
    readonly logs: string;
    readonly signal?: AbortSignal;
    readonly only?: readonly string[];
    readonly onUnit?: (status: UnitStatus) => void;
  },
): Promise<void> {
  const until = Date.now() + options.deadlineMs;
  const seen = new Map<string, string>();
  for (;;) {
    options.signal?.throwIfAborted();
    const all = await client.list();
    const units = options.only === undefined ? all : all.filter((unit) => options.only?.includes(unit.name));
    for (const unit of units) {
      if (seen.get(unit.name) !== unit.state) options.onUnit?.(unit);
      seen.set(unit.name, unit.state);
    }
    const waiting = units.filter((unit) => unit.state !== 'running' && unit.state !== 'success');
    if (waiting.length === 0) return;
    if (Date.now() > until) {
      const list = waiting.map((unit) => `${unit.name} (${unit.state}${unit.reason === '' ? '' : `: ${unit.reason}`})`);
      const name = waiting[0]?.name ?? '';
      const said = await lastWarning(join(options.logs, `${name}.log`));
      const why = said === '' ? '' : `\n${name} says: ${said}`;
      throw new CliError(
        `not ready within ${options.deadlineMs / 1000} s: ${list.join(', ')}; see: gridnode logs ${name}${why}`,
      );
    }
    await sleep(50);
  }
}

/** Text of the newest warning or error in the last lines of a log; empty where there is none. */
async function lastWarning(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  for (const line of text.slice(-LOG_TAIL).split('\n').reverse()) {
    if (!/^\{"level":[456]0,/.test(line)) continue;
    try {
      return String((JSON.parse(line) as { readonly msg?: unknown }).msg ?? '');
    } catch {
      // Cut off at its beginning or end.
    }
  }
  return '';
}

/** What each daemon left on the host, taken away by the daemon's own clean-up, last made first. */
const PURGES = [
  ['vmd', 'modules/vmd/purge.ts'],
  ['flistd', 'modules/flistd/purge.ts'],
  ['networkd', 'modules/networkd/purge.ts'],
  ['storaged', 'modules/storaged/purge.ts'],
] as const;

async function purgeDaemon(layout: Layout, file: string, inside: ProcessMark | undefined): Promise<void> {
  const own = [process.execPath, join(checkout, file), '--state', layout.state];
  const words =
    inside === undefined ? own : ['nsenter', '--target', `${inside.pid}`, '--mount', '--net', '--root', ...own];
  const [program = '', ...args] = words;
  await run(program, args, { deadlineMs: PURGE_DEADLINE_MS, ownSession: true });
}

/**
 * Stops units, then machines, then the supervisor. With `purge` nothing of the
 * node remains: no process, mount, device, namespace or file. Returns why the
 * empty state folder stays, where it is one that cannot go, as a mount point.
 */
export async function stopNode(
  layout: Layout,
  options: { readonly purge: boolean; readonly onStep?: (text: string) => void },
): Promise<string | undefined> {
  if (options.purge) checkNodeFolder(layout.state);
  const say = options.onStep ?? (() => undefined);
  const supervisor = await supervisorOf(layout);
  const client = new ZinitClient(layout.control);
  if (supervisor !== undefined) {
    say('stopping daemons');
    await stopUnits(client).catch(async () => {
      // It does not listen (yet, or any more): its units are known by their records.
      killGroup(supervisor.pid);
      await endRecorded(layout);
    });
  } else {
    await endRecorded(layout);
  }
  const isolated = existsSync(join('/run/netns', namespaceOf(layout)));
  // One daemon's trouble must not keep the others' things on the host.
  const problems: string[] = [];
  const simulated = await isSimulated(layout);
  for (const [name, file] of PURGES) {
    // Its drivers keep books below the state folder and touch no host.
    if (simulated) break;
    if (!options.purge && name !== 'vmd') continue;
    say(name === 'vmd' ? 'stopping machines' : `removing what ${name} made`);
    const inside = supervisor !== undefined && isAlive(supervisor) ? supervisor : undefined;
    await purgeDaemon(layout, file, inside).catch((error: Error) => problems.push(`${name}: ${error.message}`));
  }
  if (supervisor !== undefined) {
    await client.shutdown().catch(() => undefined);
    const until = Date.now() + 10_000;
    while (isAlive(supervisor) && Date.now() < until) await sleep(20);
    if (isAlive(supervisor)) killGroup(supervisor.pid);
  }
  if (isolated) await removeNamespace(layout);
  if (problems.length > 0)
    throw new CliError(`the node is stopped, but not all of it is gone:\n${problems.join('\n')}`);
  return options.purge ? removeFolder(layout.state) : undefined;
}

/** Whether the node in this folder is simulated; one whose start broke off before its configuration is not. */
export async function isSimulated(layout: Layout): Promise<boolean> {
  const config = await loadConfig(layout).catch(() => undefined);
  return (config?.simulated ?? null) !== null;
}

/** Stops in reverse order: what nothing waits for goes first, and each stop is waited for. */
async function stopUnits(client: ZinitClient): Promise<void> {
  for (const unit of (await client.list()).reverse()) {
    if (unit.state !== 'stopped') await client.stop(unit.name);
  }
}

/** After a killed supervisor: its children are known by their records. */
async function endRecorded(layout: Layout): Promise<void> {
  const folder = join(layout.units, 'run');
  for (const file of await readdir(folder).catch(() => [])) {
    const mark = (await readJson(join(folder, file)).catch(() => undefined)) as ProcessMark | undefined;
    if (mark !== undefined && isAlive(mark)) killGroup(mark.pid);
    await rm(join(folder, file), { force: true });
  }
}

/** What must hold of a node that has come to rest. */
import { setTimeout as sleep } from 'node:timers/promises';
import { planner } from '../../../provision/interface.ts';
import type { Change, DeploymentRecord, Journal } from '../../../provision/store/journal.ts';
import type { OperationRecord } from '../../../provision/store/operations.ts';
import { differences, owed, standing } from './books.ts';
import { POOL_BYTES } from './daemons.ts';
import type { World } from './world.ts';

const GIB = 1024 ** 3;
const CACHE_BYTES = 5 * GIB;
const REST_MS = 30_000;
const LOOK_MS = 2;

/** What a deployment has to come to. */
export interface Promised {
  readonly contract: bigint;
  readonly version: number;
  /** States by name of those that the version wants; what is left out is gone. */
  readonly states: Readonly<Record<string, 'ok' | 'paused' | 'deleted'>>;
}

/**
 * Resolves when the node is at rest and all of `promised` holds, and nothing else is there. Throws what
 * does not hold when it has had time enough. Where the host refused something a workload may have ended
 * in an error that says why.
 */
export async function settle(world: World, wanted: readonly Promised[]): Promise<void> {
  const giveUpAt = performance.now() + REST_MS;
  for (;;) {
    const promised = wanted.filter(({ contract }) => !world.chain.isCancelled(contract));
    const found = await look(world, promised);
    if (world.broken.length > 0) throw new Error(world.broken.join('\n'));
    // A fault that struck while it was looked at may have changed what has to be.
    if (found.length === 0 && promised.every(({ contract }) => !world.chain.isCancelled(contract))) return;
    if (performance.now() > giveUpAt) throw new Error([...found, ...story(world)].join('\n'));
    await sleep(LOOK_MS);
  }
}

async function look(world: World, promised: readonly Promised[]): Promise<string[]> {
  const mayFail = world.faults.hits.some((hit) => /^(refused|no-space)/.test(hit));
  const { journal } = world.orchestrator;
  if (!world.isWhole || journal === undefined) return ['not everything that was killed is back'];
  const found = promised.flatMap((one) => shortOf(journal, one, mayFail));
  for (const { id } of journal.deployments()) {
    if (promised.every(({ contract }) => id !== `7-${contract}`)) found.push(`deployment ${id} is there`);
  }
  // What costs more is looked at once the journal says that all is done.
  if (found.length > 0) return found;
  for (const { id } of journal.deployments()) {
    found.push(...malformed(journal.changes(id)).map((text) => `changes of ${id}: ${text}`));
  }
  found.push(...differences(standing(world), owed(journal), lostWithPower(world, journal)));
  found.push(...untold(world, journal), ...unended(journal.operations()));
  if (found.length > 0) return found;
  try {
    return [...(await miscounted(world, journal)), ...(await misreported(world, promised))];
  } catch (error) {
    return [`the node does not answer: ${(error as Error).message}`];
  }
}

function shortOf(journal: Journal, { contract, version, states }: Promised, mayFail: boolean): string[] {
  const record = journal.deployment(`7-${contract}`);
  if (record === undefined) return [`deployment 7-${contract} was promised and is not there`];
  const found: string[] = [];
  if (record.version !== version) found.push(`deployment ${record.id} has version ${record.version}, not ${version}`);
  for (const [name, state] of Object.entries(states)) {
    const workload = record.workloads.find((one) => one.name === name);
    if (workload?.next !== undefined)
      found.push(`workload ${name} still is to become version ${workload.next.version}`);
    if (workload?.state === state || (workload === undefined && state === 'deleted')) continue;
    if (mayFail && workload?.state === 'error' && workload.message !== '') continue;
    found.push(`workload ${name} is ${workload?.state} '${workload?.message}', not ${state}`);
  }
  for (const { name, state, held } of record.workloads) {
    if (states[name] === undefined && (state !== 'deleted' || held !== undefined))
      found.push(`workload ${name} is left`);
    if (state === 'error' && held !== undefined) found.push(`workload ${name} failed and holds something`);
  }
  return found;
}

/** What is wrong with a history of states. */
export function malformed(changes: readonly Change[]): string[] {
  const found: string[] = [];
  const begun = new Set<string>();
  const ended = new Set<string>();
  const oks = new Set<string>();
  for (const { workload, version, state } of changes) {
    const key = `${workload} ${version}`;
    if (ended.has(key) && state !== 'init') found.push(`${key} is ${state} after it was deleted`);
    if (state === 'init' && begun.has(key)) found.push(`${key} began twice`);
    if (!begun.has(key) && state !== 'init' && ![...begun].some((one) => one.startsWith(`${workload} `))) {
      found.push(`${key} is ${state} before it began`);
    }
    if (state === 'ok' && oks.has(key)) found.push(`${key} is ok twice`);
    begun.add(key);
    if (state === 'ok') oks.add(key);
    if (state === 'deleted') ended.add(key);
  }
  return found;
}

/** What was asked for has ended, with a cause where it failed and none where it did not. */
export function unended(operations: readonly OperationRecord[]): string[] {
  return operations.flatMap((one) => {
    const { id, kind, deployment, state, error, startedAt, endedAt } = one;
    const what = `operation ${id}, ${kind} of ${deployment},`;
    if (state !== 'done' && state !== 'failed' && state !== 'superseded') return [`${what} is ${state}`];
    if (endedAt === 0) return [`${what} is ${state} and has no end`];
    if (state === 'done' && startedAt === 0) return [`${what} is done and was not begun`];
    if (state === 'failed' && error === '') return [`${what} failed without a cause`];
    return state === 'done' && error !== '' ? [`${what} is done with the error '${error}'`] : [];
  });
}

/** A paused machine that the host lost with its power is made again when it goes on, not before. */
function lostWithPower({ faults }: World, journal: Journal): string[] {
  if (!faults.hits.some((hit) => hit.startsWith('power'))) return [];
  return journal
    .deployments()
    .flatMap(({ id, workloads }) =>
      workloads.filter(({ state }) => state === 'paused').map(({ name }) => `${id}-${name}`),
    );
}

/** The chain was told what runs. */
function untold({ chain }: World, journal: Journal): string[] {
  return journal.deployments().flatMap((record) => {
    const told = chain.consumption.get(record.contract) ?? '0 0 0 0';
    const used = useOf(record);
    return told === used ? [] : [`the chain knows of ${record.id} that it uses ${told}, and it uses ${used}`];
  });
}

function useOf({ workloads }: DeploymentRecord): string {
  const running = workloads
    .filter(({ state }) => state === 'ok' || state === 'paused')
    .flatMap(({ held }) => held ?? []);
  const sum = (of: (one: (typeof running)[number]) => number): number => running.reduce((all, one) => all + of(one), 0);
  const bytes = sum((one) => one.allocations.reduce((all, { bytes: size }) => all + size, 0));
  return [sum((one) => one.vcpus), sum((one) => one.memoryBytes), bytes, 0].join(' ');
}

/** The ledger says what stands, and nothing is pending. */
async function miscounted({ watcher }: World, journal: Journal): Promise<string[]> {
  const { Total, System, Committed, Pending, Free, Waiting } = await watcher
    .of(planner)
    .Capacity({}, { deadlineMs: 2_000 });
  const held = journal.reservations().flatMap(({ workloads }) => workloads);
  const bytes = held.reduce((all, one) => all + one.allocations.reduce((some, { bytes: size }) => some + size, 0), 0);
  const expected = {
    SRU: [POOL_BYTES, CACHE_BYTES, bytes, 0, POOL_BYTES - CACHE_BYTES - bytes],
    CRU: [Total.CRU, System.CRU, held.reduce((all, one) => all + one.vcpus, 0), 0, Total.CRU - Committed.CRU],
  };
  const found = (['SRU', 'CRU'] as const).flatMap((unit) => {
    const counted = [Total, System, Committed, Pending, Free].map((one) => Number(one[unit]));
    const same = counted.every((one, at) => one === Number(expected[unit][at]));
    return same ? [] : [`capacity of ${unit} is counted as ${counted.join(' ')}, not ${expected[unit].join(' ')}`];
  });
  const waits = Waiting.Deployments + Waiting.Workloads + Waiting.Leaving;
  return waits === 0 ? found : [...found, `${waits} are said to wait`];
}

/** Who waits for the version is told that it has settled. */
async function misreported({ watcher }: World, promised: readonly Promised[]): Promise<string[]> {
  const told = await Promise.all(
    promised.map(async ({ contract, version, states }) => {
      if (Object.values(states).includes('paused')) return [];
      const wanted = { twin: 7, contractID: contract, version, timeoutMs: 1 };
      const { Settled, Workloads } = await watcher.of(planner).Wait(wanted, { deadlineMs: 2_000 });
      return Settled ? [] : [`who waits for 7-${contract} is told ${JSON.stringify(Workloads)}`];
    }),
  );
  return told.flat();
}

/** What happened, for a person. */
function story({ orchestrator, faults, bus }: World): string[] {
  const { journal } = orchestrator;
  if (journal === undefined) return ['provisiond is not there'];
  const lines = journal.deployments().flatMap(({ id, workloads, cancelled }) => [
    `${id}${cancelled === undefined ? '' : `, cancelled: ${cancelled}`}`,
    ...workloads.map(({ name, version, state, message, removal, held, next }) =>
      JSON.stringify({ name, version, state, message, removal, held: held !== undefined, next: next?.version }),
    ),
    ...journal
      .operations(id)
      .map(({ id: operation, kind, state, attempts, crashes, error }) =>
        JSON.stringify({ operation, kind, state, attempts, crashes, error }),
      ),
    ...journal
      .steps(id)
      .slice(-12)
      .map(({ workload, step, state, message }) => `  ${workload} ${step} ${state} ${message}`),
  ]);
  return [`hits: ${faults.hits.join('; ')}; calls under way: ${bus.underWay}`, ...lines];
}

/** One deployment, asked for over the relay: it comes, is waited for, read and updated, and goes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RmbError } from '../../../gateway/rmb/errors.ts';
import { at, diskWorkload } from '../../../provision/testing/tenant.ts';
import {
  deploymentDeploy,
  deploymentGet,
  deploymentUpdate,
  deploymentWait,
} from '../../../schemas/commands/deployment.ts';
import { type Deployment, formatDeployment } from '../../../schemas/deployment.ts';
import { workedMs } from './patience.ts';
import { type Hit, PHASES, type Phase, Sites } from './points.ts';
import { type GatewayWorld, NODE_TWIN } from './world.ts';

/** Of the first call. Each that brought no answer gives the next one twice the time: a busy machine may need it. */
const CALL_MS = 1_500;
const LONGEST_CALL_MS = 12_000;
/** Beyond its deadline until a call has told how it ended. */
const LATE_MS = 2_000;
/** Until a request, sent again and again, was answered as it should be. */
const ANSWERED_MS = 20_000;
const REST_MS = 20_000;
/** Until a message comes by that is to be hit, where its request needs it no more. */
const PASSING_MS = 3_000;
const POLL_MS = 5;
const GIB = 1024 ** 3;

interface Request {
  readonly command: string;
  readonly payload: string;
  /** Throws what is wrong with the answer; false when it has to be asked for again. */
  readonly check: (answer: string) => boolean;
}

/** Lives with those hits, one in each phase at most; gives those that did not come by. Throws what does not hold. */
export async function live(world: GatewayWorld, contract: bigint, hits: readonly Hit[]): Promise<Hit[]> {
  const left = new Set(hits);
  await inPhases(world, contract, CALL_MS, (phase) => {
    const due = hits.find((hit) => hit.phase === phase);
    const sites = new Sites();
    return {
      heard: async (message) => {
        if (due === undefined || sites.name(message) !== due.site || !left.delete(due)) return;
        await world.strike(due.victim);
      },
      isOver: () => due === undefined || !left.has(due),
    };
  });
  return [...left];
}

/** Every message of a life in which nothing is hit. */
export async function messages(world: GatewayWorld, contract: bigint): Promise<Map<Phase, string[]>> {
  const found = new Map<Phase, string[]>();
  // Nothing is lost, so nothing is to be sent twice, however long it takes.
  await inPhases(world, contract, ANSWERED_MS, (phase) => {
    const names: string[] = [];
    const sites = new Sites();
    found.set(phase, names);
    const heard = async (message: string): Promise<void> => {
      names.push(sites.name(message));
    };
    return { heard, isOver: () => true };
  });
  return found;
}

interface Listener {
  /** Hears of each message before it goes on. */
  readonly heard: (message: string) => Promise<void>;
  /** Whether it waits for no message any more. */
  readonly isOver: () => boolean;
}

async function inPhases(
  world: GatewayWorld,
  contract: bigint,
  callMs: number,
  listener: (phase: Phase) => Listener,
): Promise<void> {
  const { host, tenant } = world;
  const first = [diskWorkload('one', GIB), diskWorkload('two', GIB)];
  const created = tenant.contracted(host, contract, first);
  const updated = tenant.deployment(contract, [...first, at(1, diskWorkload('three', GIB))], 1);
  const id = JSON.stringify({ contract_id: Number(contract) });
  const requests: Record<Phase, Request> = {
    deploy: { command: deploymentDeploy.name, payload: formatDeployment(created), check: () => true },
    wait: {
      command: deploymentWait.name,
      payload: id,
      check: (answer) => (JSON.parse(answer) as { settled: boolean; ok: boolean }).ok,
    },
    get: {
      command: deploymentGet.name,
      payload: id,
      check: (answer) => {
        const { version, workloads } = JSON.parse(answer) as Deployment;
        if (version !== 0 || workloads.length !== 2) throw new Error(`the node answers ${answer}`);
        return true;
      },
    },
    update: { command: deploymentUpdate.name, payload: formatDeployment(updated), check: () => true },
  };
  try {
    for (const phase of PHASES) {
      if (phase === 'update') host.rehash(updated);
      const { heard, isOver } = listener(phase);
      world.listener = heard;
      const wanted = phase === 'update' ? updated : created;
      const before = phase === 'deploy' ? undefined : created;
      await answered(world, requests[phase], wanted, before, callMs).catch(async (error: unknown) => {
        // What keeps somebody from living again is the cause.
        await world.whole();
        throw error;
      });
      // Its deployment is there, and the answer is still under way.
      const passedAt = workedMs() + PASSING_MS;
      while (!isOver() && workedMs() < passedAt) await sleep(POLL_MS);
      world.listener = () => Promise.resolve();
      await world.whole();
    }
    await rest(() => {
      const record = world.daemon.journal.deployment(`7-${contract}`);
      return record?.version === 1 && record.workloads.every(({ state, next }) => state === 'ok' && next === undefined);
    }, 'the update is carried out');
    const twice = [...world.runs].filter(([, count]) => count > 1);
    if (twice.length > 0) throw new Error(`requests ran more than once: ${JSON.stringify(twice)}`);
  } finally {
    world.listener = () => Promise.resolve();
    host.cancelContract(contract);
  }
  await rest(() => world.daemon.journal.deployment(`7-${contract}`) === undefined, 'the deployment is gone');
  const left = host.resources.filter((name) => name.includes(`-${contract}-`));
  if (left.length > 0) throw new Error(`left on the host: ${left.join(', ')}`);
}

/**
 * Sends as clients do: again where no answer came or one that it did not work, until it did. Whatever comes, comes
 * in time and is typed, what was answered stays, and what was not is there whole or not at all.
 */
async function answered(
  world: GatewayWorld,
  { command, payload, check }: Request,
  wanted: Deployment,
  before: Deployment | undefined,
  callMs: number,
): Promise<void> {
  const until = workedMs() + ANSWERED_MS;
  const isWrite = command === deploymentDeploy.name || command === deploymentUpdate.name;
  for (let deadlineMs = callMs; ; ) {
    let failure: RmbError | undefined;
    try {
      const answer = await told(world, { command, payload, deadlineMs });
      if (check(Buffer.from(answer).toString())) {
        if (isWrite) expectWhole(world, wanted, wanted);
        return;
      }
    } catch (error) {
      if (!(error instanceof RmbError)) throw error;
      failure = error;
    }
    // The same as a client finds when it looks before it sends again.
    if (isWrite && expectWhole(world, wanted, before)) return;
    if (workedMs() > until) throw new Error(`${command} was not answered: ${failure?.message}`);
    if (failure?.kind === 'timeout') deadlineMs = Math.min(2 * deadlineMs, LONGEST_CALL_MS);
    await sleep(POLL_MS);
  }
}

/** How a call ended. Throws where it does not tell in time, by a timer of the same process: a machine may stand still. */
async function told(
  world: GatewayWorld,
  call: { readonly command: string; readonly payload: string; readonly deadlineMs: number },
): Promise<Uint8Array> {
  const mostMs = call.deadlineMs + LATE_MS;
  const ended = new AbortController();
  const late = sleep(mostMs, undefined, { signal: ended.signal }).then(() =>
    Promise.reject(new Error(`${call.command} has not told after ${mostMs} ms how it ended`)),
  );
  late.catch(() => undefined);
  try {
    return await Promise.race([world.client.call({ twin: NODE_TWIN, ...call }), late]);
  } finally {
    ended.abort();
  }
}

/** Whether the wanted version is there; throws where less than all of it, or of the one before, is. */
function expectWhole(world: GatewayWorld, wanted: Deployment, before: Deployment | undefined): boolean {
  const record = world.daemon.journal.deployment(`7-${wanted.contract_id}`);
  const whole = [wanted, ...(before === undefined ? [] : [before])].find((one) => one.version === record?.version);
  if (record === undefined && before === undefined) return false;
  const names = record?.workloads.map(({ name }) => name).sort();
  if (whole === undefined || `${names}` !== `${whole.workloads.map(({ name }) => name).sort()}`) {
    throw new Error(`the node has version ${record?.version} with ${names}`);
  }
  return whole === wanted;
}

async function rest(isSo: () => boolean, what: string): Promise<void> {
  const until = workedMs() + REST_MS;
  while (!isSo()) {
    if (workedMs() > until) throw new Error(`not in time: ${what}`);
    await sleep(POLL_MS);
  }
}

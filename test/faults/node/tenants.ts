/** What a tenant does, and what it makes of answers that may be lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isZbusError } from '../../../modules/zbus/errors.ts';
import { provision } from '../../../provision/interface.ts';
import { deploymentToStruct } from '../../../provision/wire.ts';
import type { Deployment } from '../../../schemas/deployment.ts';
import { reviveError } from '../../../schemas/errors/index.ts';
import type { World } from './world.ts';

const TWIN = 7;
const TRIES = 400;
const AGAIN_MS = 3;
const PATIENCE = { deadlineMs: 30_000 };
/** Answers that say nothing of whether it was done. */
const UNCLEAR = new Set(['bus_lost', 'no_such_module', 'deadline', 'busy']);
/** In its grace period a contract takes nothing new. */
const WAIT = 'contract_state';
/** Answers to a request that was made again, after one that was taken in spite of its lost answer. */
const DONE = /^(deployment_exists|upgrade_invalid|upgrade_version)$/;

/** Puts the deployment on the chain and sends it until the node has promised it. */
export async function deploy(world: World, deployment: Deployment): Promise<void> {
  const { version, contract_id: contractID } = deployment;
  world.chain.put(deployment);
  const api = world.client.of(provision);
  const request = { twin: TWIN, deployment: deploymentToStruct(deployment), update: version > 0 };
  for (let left = TRIES; left > 0; left--) {
    try {
      await api.CreateOrUpdate(request, PATIENCE);
      await kept(world, deployment);
      return;
    } catch (error) {
      // What was cancelled meanwhile may be refused.
      if (world.chain.isCancelled(contractID)) return;
      if (!isUnclear(error) && !(left < TRIES && isZbusError(error) && DONE.test(error.remote?.code ?? '')))
        throw error;
    }
    if ((await versionOf(world, contractID)) === version) return;
    await sleep(AGAIN_MS);
  }
  throw new Error(`the node never took version ${version} of contract ${contractID}`);
}

/** Asks the node to remove a workload until it has heard it. */
export async function decommission(world: World, id: string): Promise<void> {
  for (let left = TRIES; left > 0; left--) {
    try {
      await world.client.of(provision).DecommissionCached({ id, reason: 'for a test' }, PATIENCE);
      return;
    } catch (error) {
      if (!isUnclear(error)) throw error;
      await sleep(AGAIN_MS);
    }
  }
  throw new Error(`the node never took the removal of ${id}`);
}

/** An answer was given: it has to be in the journal at once, and of every life from now on. */
async function kept(world: World, { contract_id, version }: Deployment): Promise<void> {
  const found = await versionOf(world, contract_id);
  if (found === version || world.chain.isCancelled(contract_id)) return;
  throw new Error(`version ${version} of ${contract_id} was promised, and the node has ${found ?? 'nothing'} of it`);
}

/** What the node says it has, asked until it says something. */
async function versionOf(world: World, contractID: bigint): Promise<number | undefined> {
  for (let left = TRIES; left > 0; left--) {
    try {
      return (await world.client.of(provision).Get({ twin: TWIN, contractID }, PATIENCE)).Version;
    } catch (error) {
      if (isZbusError(error) && error.remote?.code === 'deployment_not_found') return undefined;
      if (!isUnclear(error)) throw error;
      await sleep(AGAIN_MS);
    }
  }
  throw new Error('the node does not answer any more');
}

function isUnclear(error: unknown): boolean {
  if (!isZbusError(error)) return false;
  if (UNCLEAR.has(error.kind)) return true;
  const { code = '', details } = error.remote ?? {};
  if (code === WAIT || reviveError(code, details)?.retryable) return true;
  // The disk was full at that moment, the process ended in the midst of it.
  return /disk is full|this process is no more/.test(error.message);
}

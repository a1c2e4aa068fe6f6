/** The node under test: provisiond over a real journal and bus, that dies, and whose host comes up again. */
import { cpSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { ContractFacts } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { ENGINE_LIMITS, type EngineLimits } from '../../provision/engine/steps.ts';
import { planner, provision } from '../../provision/interface.ts';
import type { Provisiond, ProvisiondOptions } from '../../provision/provisiond.ts';
import type { HostCall } from '../../provision/testing/host.ts';
import { bus, host, stand, standForEachTest, tenant } from '../../provision/testing/stand.ts';
import { deploymentFromStruct } from '../../provision/wire.ts';
import type { Deployment, Workload } from '../../schemas/deployment.ts';

/** A failure is over soon, and tried again soon. */
export const LIMITS: EngineLimits = {
  ...ENGINE_LIMITS,
  retry: { budgetMs: 100, firstDelayMs: 1, maxDelayMs: 10 },
  laterMs: [2, 20],
  stopGraceMs: 20,
  stopDeadlineMs: 50,
};

const gates = new Set<() => void>();

/** Called at the top of a test file. */
export function nodeForEachTest(): void {
  standForEachTest();
  afterEach(() => {
    for (const open of gates) open();
    gates.clear();
  });
}

export function start(given: Partial<ProvisiondOptions> = {}): Promise<Provisiond> {
  return stand.startHere({ engineLimits: LIMITS, ...given });
}

export interface Gate {
  /** Resolves when the first call stands before it. */
  readonly reached: Promise<void>;
  readonly open: () => void;
  /** What stands before it fails, and what comes later. */
  readonly cut: () => void;
}

/** Until it is opened, calls that match do not go on, before or after their effect. */
export function gate(matches: (call: HostCall) => boolean, when: 'before' | 'after' = 'before'): Gate {
  const passage = Promise.withResolvers<void>();
  passage.promise.catch(() => undefined);
  const arrival = Promise.withResolvers<void>();
  host.hook = async (call, moment) => {
    if (moment !== when || !matches(call)) return;
    arrival.resolve();
    await passage.promise;
  };
  gates.add(passage.resolve);
  return {
    reached: arrival.promise,
    open: passage.resolve,
    cut: () => {
      passage.reject(new Error('the daemon was ended'));
      host.hook = () => {};
    },
  };
}

export const named =
  (...methods: readonly string[]) =>
  ({ method }: HostCall): boolean =>
    methods.includes(method);

/** Ends provisiond; the next one finds what kill -9 leaves at the moment of the call: its files, and nothing else. */
export async function die(): Promise<void> {
  const root = join(stand.folder, 'provisiond');
  const kept = join(stand.folder, 'provisiond-at-death');
  cpSync(root, kept, { recursive: true, filter: (path) => !/(-shm|\.lock)$/.test(path) });
  await stand.stopHere();
  rmSync(root, { recursive: true });
  renameSync(kept, root);
}

/** The machine loses its power: what is only in a kernel is gone, what is on disks stays. */
export async function losePower(): Promise<void> {
  await die();
  for (const kernels of [host.machines, host.mounts, host.networks, host.taps, host.tapOwners, host.locked]) {
    kernels.clear();
  }
}

export async function deployed(contract: bigint, ...workloads: Workload[]): Promise<Deployment> {
  const deployment = tenant.contracted(host, contract, workloads);
  await stand.deploy(deployment);
  await stand.running(contract);
  return deployment;
}

/** The next version, signed, with its hash on the chain. */
export function next(contract: bigint, version: number, ...workloads: Workload[]): Deployment {
  const deployment = tenant.deployment(contract, workloads, version);
  host.rehash(deployment);
  return deployment;
}

export async function got(contract = 1n, twin = 7): Promise<Deployment> {
  const found = await bus.of(provision).Get({ twin, contractID: contract });
  return deploymentFromStruct(found, { results: 'keep' });
}

/** `name version state`, in the order of the deployment. */
export async function standing(contract = 1n, twin = 7): Promise<string[]> {
  const { workloads } = await got(contract, twin);
  return workloads.map(({ name, version, result }) => `${name} ${version} ${result.state}`);
}

export async function settles(expected: readonly string[], contract = 1n, twin = 7): Promise<void> {
  await expect.poll(() => standing(contract, twin)).toEqual(expected);
}

/** `name version state: message`, oldest first. */
export async function changes(contract = 1n): Promise<string[]> {
  const found = await bus.of(provision).Changes({ twin: 7, contractID: contract });
  return found.map(({ Name, Version, Result }) => `${Name} ${Version} ${Result.State} ${Result.Error}`.trim());
}

export function operations(contract = 1n, twin = 7) {
  return bus.of(planner).Operations({ twin, contractID: contract });
}

export async function isGone(contract = 1n, twin = 7): Promise<boolean> {
  const error: unknown = await got(contract, twin).catch((thrown: unknown) => thrown);
  return error instanceof Error && error.message.startsWith('deployment not found');
}

/** Its contract is cancelled, and everything of it goes. */
export async function ends(contract = 1n): Promise<void> {
  host.cancelContract(contract);
  await expect.poll(() => isGone(contract)).toBe(true);
}

/** The chain has something else of the contract from now on. */
export function changeContract(changed: Partial<Infer<typeof ContractFacts>>, contract = 1n): void {
  const facts = host.contracts.get(contract);
  if (facts === undefined) throw new Error('the contract is not there');
  host.contracts.set(contract, { ...facts, ...changed });
}

/** The chain puts the contract into its grace period, or ends that. */
export function grace(contract: bigint, isGrace: boolean): void {
  changeContract({ State: isGrace ? 'grace' : 'created' }, contract);
  host.tell(isGrace ? 'grace_started' : 'grace_ended', contract);
}

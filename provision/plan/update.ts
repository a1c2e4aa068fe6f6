/**
 * Decides whether a running deployment may become another one, all or nothing as with a new one.
 * What stays is not asked again; what grows needs the difference, in the pool it is in; what goes
 * away counts as gone, as nothing is added or changed before all of it is confirmed removed.
 */
import { checkAbilities, checkGpus, checkPublicIps, type NodeAbilities } from './abilities.ts';
import { countCapacity, growthOf, type ReservedWorkload, type Snapshot } from './capacity.ts';
import { checkCompute, checkMachines } from './compute.ts';
import type { Left } from './holdings.ts';
import type { Ledger, LedgerLine } from './ledger.ts';
import { checkMounts } from './mounts.ts';
import { checkAddresses, checkNeighbours, checkNetworks } from './networks.ts';
import { placeAllocations, placeGrowth } from './placement.ts';
import { orderWorkloads, type Plan, reserve } from './plan.ts';
import type { Refusal } from './refusal.ts';
import type { DeploymentRequest, WorkloadRequest } from './request.ts';

export interface AskedUpdate {
  /** The whole deployment as it is to become. */
  readonly request: DeploymentRequest;
  /** Of it: what is new, and what is to change. */
  readonly asked: ReadonlySet<string>;
  /** Workloads of the present deployment that go away. */
  readonly leaving: ReadonlySet<string>;
}

/** Plans against `snapshot`, whose books hold the deployment's present reservation. The plan is of what is asked alone. */
export function planUpdate(
  { request, asked, leaving }: AskedUpdate,
  snapshot: Snapshot & { readonly holdings: Ledger },
  abilities: NodeAbilities,
): Plan {
  const ledger = snapshot.holdings;
  const own = heldNow(request, ledger);
  const isStanding = (name: string): boolean => own.has(name) && !leaving.has(name);
  const added = request.workloads.filter((one) => asked.has(one.name) && !isStanding(one.name));
  const changed = request.workloads.filter((one) => asked.has(one.name) && isStanding(one.name));
  const only = (workloads: readonly WorkloadRequest[]): DeploymentRequest => ({ ...request, workloads });
  const without = (workloads: ReadonlySet<string>): Left => ({ ...request, workloads });
  // What failed and stays so refers to nothing.
  const whole = only(request.workloads.filter((one) => asked.has(one.name) || isStanding(one.name)));
  const looked = new Set([...asked, ...movedMachines(whole.workloads, [...changed, ...added], leaving)]);

  // What takes the place of a change under way has the room of that one.
  const unchanged = new Set(changed.map((one) => one.name));
  const remaining = { ...snapshot, holdings: ledger.without({ ...without(leaving), unchanged }) };
  const capacity = countCapacity(remaining);
  const pools = capacity.pools.map((pool) => ({ ...pool }));
  const growth = placeGrowth(changed, own, pools, (one) => ledger.placeOf(one));
  const placement = placeAllocations(added, pools, capacity);
  // Beside what is looked at anew.
  const others = ledger.without(without(new Set([...leaving, ...looked])));
  const refusals: Refusal[] = [
    ...checkAbilities(only([...changed, ...added]), abilities),
    ...checkMachines([...changed, ...added], snapshot),
    ...checkCompute([...changed.map((one) => grownBy(one, own)), ...added], remaining, capacity),
    ...growth.refusals,
    ...placement.refusals,
    ...checkPublicIps(whole, abilities),
    ...checkGpus(only([...changed, ...added]), others, abilities),
    ...checkNetworks(only([...changed, ...added]), others, {
      ...abilities,
      wireguardPorts: portsOfOthers(abilities.wireguardPorts, ledger.linesOf(request), changed, leaving),
    }),
    ...checkAddresses(only(whole.workloads.map((one) => (looked.has(one.name) ? one : withoutAddress(one)))), others),
    ...checkNeighbours(request, changed, ledger),
    ...checkMounts(whole),
  ];
  if (refusals.length > 0) return { fits: false, refusals };
  const places = new Map([...placement.placed, ...growth.placed]);
  return {
    fits: true,
    steps: orderWorkloads(whole).filter((step) => asked.has(step.name)),
    reservation: {
      twin: request.twin,
      contract: request.contract,
      workloads: [...changed, ...added].map((workload) => reserve(workload, places.get(workload.name) ?? [])),
    },
  };
}

/** What the deployment holds now, by workload; behind it may be listed what a pending change will add. */
function heldNow(request: DeploymentRequest, ledger: Ledger): ReadonlyMap<string, ReservedWorkload> {
  const own = ledger.linesOf(request).map(({ holds }) => holds);
  return new Map([...own].reverse().map((workload) => [workload.name, workload]));
}

/** Machines whose network changes or goes away under them. */
function movedMachines(
  workloads: readonly WorkloadRequest[],
  asked: readonly WorkloadRequest[],
  leaving: ReadonlySet<string>,
): string[] {
  const networks = new Set(asked.flatMap(({ network }) => (network === undefined ? [] : [network.name])));
  return workloads
    .filter(({ address: one }) => one !== undefined && (networks.has(one.network) || leaving.has(one.network)))
    .map((one) => one.name);
}

function grownBy(target: WorkloadRequest, own: ReadonlyMap<string, ReservedWorkload>): ReservedWorkload {
  const wanted = reserve(target, []);
  const held = own.get(target.name);
  return held === undefined ? wanted : growthOf(held, wanted);
}

/** Ports on the host without those that the same network has, or may have, and those that go away first. */
function portsOfOthers(
  ports: NodeAbilities['wireguardPorts'],
  own: readonly LedgerLine[],
  changed: readonly WorkloadRequest[],
  leaving: ReadonlySet<string>,
): NodeAbilities['wireguardPorts'] {
  const wanted = new Map(changed.map(({ name, network }) => [name, network?.wireguardPort]));
  const kept = new Set<number>();
  for (const { holds } of own) {
    const port = holds.network?.wireguardPort;
    if (port !== undefined && (leaving.has(holds.name) || wanted.get(holds.name) === port)) kept.add(port);
  }
  return { has: (port) => ports.has(port) && !kept.has(port) };
}

function withoutAddress({ address: _, ...workload }: WorkloadRequest): WorkloadRequest {
  return workload;
}

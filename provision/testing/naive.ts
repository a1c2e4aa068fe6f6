/**
 * A node counted the simple way, for tests of what is counted the quick way: pools with things in
 * them, and every rule of admission by looking at all records.
 */
import { basename } from 'node:path';
import { reservedMemoryBytes } from '../plan/capacity.ts';
import type { WorkloadRequest } from '../plan/request.ts';
import type { DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import type { Daemons } from '../workloads/workload.ts';

export interface NaiveSize {
  readonly cpus: number;
  readonly overcommit: number;
  readonly memoryBytes: number;
  readonly poolBytes: number;
  /** What the node itself has in the pool. */
  readonly foreignBytes: number;
}

/** One pool, and who asks it waits as long as `delay` does. */
export class NaiveHost {
  readonly size: NaiveSize;
  readonly things = new Map<string, number>();
  readonly #delay: (call: string) => Promise<void>;

  constructor(size: NaiveSize, delay: (call: string) => Promise<void> = () => Promise.resolve()) {
    this.size = size;
    this.#delay = delay;
  }

  get usedBytes(): number {
    return [...this.things.values()].reduce((sum, bytes) => sum + bytes, this.size.foreignBytes);
  }

  /** Throws where the pool has no room: a promise was not kept. */
  make(name: string, bytes: number): void {
    const more = bytes - (this.things.get(name) ?? 0);
    if (this.usedBytes + more > this.size.poolBytes) throw new Error(`no room for '${name}': ${bytes} bytes`);
    this.things.set(name, bytes);
  }

  get daemons(): Pick<Daemons, 'storage' | 'network'> {
    const asked = async <T>(call: string, answer: () => T): Promise<T> => {
      await this.#delay(`${call} before`);
      const value = answer();
      await this.#delay(`${call} after`);
      return value;
    };
    const named = (isVolume: boolean): [string, number][] =>
      [...this.things].filter(([name]) => name.startsWith('rootfs:') === isVolume);
    const path = (name: string): string => `/pools/one/${name}`;
    return {
      storage: {
        Metrics: () =>
          asked('Metrics', () => [{ Name: 'one', Type: 'ssd', Size: this.size.poolBytes, Used: this.usedBytes }]),
        VolumeList: () =>
          asked('VolumeList', () =>
            named(true).map(([Name, Size]) => ({ Name, Path: path(Name), Usage: { Size, Used: 0 } })),
          ),
        DiskList: () =>
          asked('DiskList', () => named(false).map(([name, Size]) => ({ Path: path(basename(name)), Size }))),
      },
      network: { WireguardPorts: () => asked('WireguardPorts', () => []) },
    } as unknown as Pick<Daemons, 'storage' | 'network'>;
  }
}

/** The most that a workload holds now or once a change of it is made. */
function needOf({ held, next }: WorkloadRecord): { vcpus: number; memory: number; things: Map<string, number> } {
  const things = new Map<string, number>();
  for (const { resource, bytes } of [held, next?.over?.held, next?.held].flatMap((one) => one?.allocations ?? [])) {
    things.set(resource, Math.max(bytes, things.get(resource) ?? 0));
  }
  const most = (of: 'vcpus' | 'memoryBytes'): number =>
    held === undefined ? 0 : Math.max(held[of], next?.over?.held[of] ?? 0, next?.held[of] ?? 0);
  return { vcpus: most('vcpus'), memory: most('memoryBytes'), things: held === undefined ? new Map() : things };
}

/** Whether all that is promised can be kept on the host as it is; the reason when not. */
export function brokenPromise(host: NaiveHost, records: readonly DeploymentRecord[]): string | undefined {
  const { size } = host;
  const needs = records.flatMap((record) => record.workloads.map(needOf));
  const vcpus = needs.reduce((sum, one) => sum + one.vcpus, 0);
  const memory = needs.reduce((sum, one) => sum + one.memory, 0);
  const after = new Map(host.things);
  for (const { things } of needs) {
    for (const [name, bytes] of things) after.set(name, Math.max(bytes, after.get(name) ?? 0));
  }
  const bytes = [...after.values()].reduce((sum, one) => sum + one, size.foreignBytes);
  if (vcpus > size.cpus * size.overcommit) return `${vcpus} vCPUs`;
  if (memory > size.memoryBytes - reservedMemoryBytes(size.memoryBytes)) return `${memory} bytes of memory`;
  if (bytes > size.poolBytes) return `${bytes} bytes of the pool`;
  const claims = records.flatMap(({ twin, workloads }) =>
    workloads.flatMap(({ held }) => [
      ...(held?.network === undefined ? [] : [`network ${twin} ${held.network.name}`]),
      ...(held?.network?.wireguardPort ? [`port ${held.network.wireguardPort}`] : []),
      ...(held?.address === undefined ? [] : [`address ${twin} ${held.address.network} ${held.address.ip}`]),
    ]),
  );
  return claims.find((claim, index) => claims.indexOf(claim) !== index);
}

/** Whether what is added fits what nobody holds. `grown`: bytes by which other things grow. */
export function fitsAlone(
  host: NaiveHost,
  records: readonly DeploymentRecord[],
  added: readonly WorkloadRequest[],
  twin: number,
  grown = 0,
): boolean {
  const { size } = host;
  const needs = records.flatMap((record) => record.workloads.map(needOf));
  const sum = (of: (one: (typeof needs)[number]) => number): number => needs.reduce((all, one) => all + of(one), 0);
  const held = new Set(needs.flatMap(({ things }) => [...things.keys()]));
  const bytes = sum(({ things }) => [...things.values()].reduce((all, one) => all + one, 0));
  const ownerless = [...host.things].reduce((all, [name, one]) => (held.has(name) ? all : all + one), 0);
  const asked = (of: (one: WorkloadRequest) => number): number => added.reduce((all, one) => all + of(one), 0);
  const space = asked((one) => one.allocations.reduce((all, { bytes: more }) => all + more, 0)) + grown;
  const ofTwin = records.filter((record) => record.twin === twin).flatMap((record) => record.workloads);
  const everyone = records.flatMap((record) => record.workloads);
  return (
    added.every((one) => one.vcpus <= size.cpus) &&
    asked((one) => one.vcpus) <= size.cpus * size.overcommit - sum((one) => one.vcpus) &&
    asked((one) => one.memoryBytes) <=
      size.memoryBytes - reservedMemoryBytes(size.memoryBytes) - sum((one) => one.memory) &&
    space <= size.poolBytes - size.foreignBytes - bytes - ownerless &&
    added.every(({ address }) =>
      ofTwin.every(
        ({ held: other }) =>
          address === undefined || other?.address?.network !== address.network || other.address.ip !== address.ip,
      ),
    ) &&
    added.every(
      ({ network }) =>
        network === undefined ||
        (ofTwin.every((one) => one.held?.network?.name !== network.name) &&
          (network.wireguardPort === 0 ||
            everyone.every((one) => one.held?.network?.wireguardPort !== network.wireguardPort))),
    )
  );
}

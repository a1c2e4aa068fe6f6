/** What stands on the host by the daemons' books, and what should by the journal. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DeploymentRecord, Journal } from '../../../provision/store/journal.ts';
import { networkId, uniqueName, workloadId } from '../../../schemas/ids.ts';
import type { World } from './world.ts';

type Json = Record<string, unknown>;

/** Everything of tenants that the host holds, a line each, sorted. */
export function standing({ daemons, folder }: World): string[] {
  const lines: string[] = [];
  const pool = read(join(daemons.root('storage'), 'simulated-ssd.json'));
  const volumes = Object.entries((pool.volumes ?? {}) as Record<string, { limit?: number }>);
  const own = new Set(['zos-cache', 'vdisks']);
  for (const [name, { limit }] of volumes) if (!own.has(name)) lines.push(`volume ${name} ${limit}`);
  for (const [name, { size }] of Object.entries((pool.disks ?? {}) as Record<string, { size: number }>)) {
    lines.push(`disk ${name} ${size}`);
  }
  for (const name of list(join(folder, 'pools', 'simulated-ssd'))) if (!own.has(name)) lines.push(`folder ${name}`);

  const links = read(join(daemons.root('network'), 'links.json'));
  for (const id of Object.keys((links.networks ?? {}) as Json)) lines.push(`network ${id}`);
  for (const [tap, bridge] of Object.entries((links.taps ?? {}) as Json)) lines.push(`tap ${tap} ${String(bridge)}`);
  for (const file of list(join(daemons.root('network'), 'networks'))) {
    if (!file.endsWith('.json')) continue;
    const { workloads, removing } = read(join(daemons.root('network'), 'networks', file));
    lines.push(`network record ${file} ${String(workloads)} ${String(removing)}`);
  }
  for (const id of Object.keys(read(join(daemons.root('network'), 'leases.json')))) lines.push(`lease ${id}`);
  for (const port of daemons.ports?.list() ?? []) if (port > 1_024 && port < 8_000) lines.push(`port ${port}`);

  for (const name of Object.keys(read(join(daemons.root('flist'), 'mounts.json')))) lines.push(`mount ${name}`);
  for (const name of list(join(folder, 'mnt'))) lines.push(`mount point ${name}`);
  for (const file of list(join(daemons.root('flist'), 'mounts'))) lines.push(`mount record ${file}`);

  const machines = read(join(daemons.root('vmd'), 'machines.json')) as Record<string, { paused: boolean }>;
  for (const [name, { paused }] of Object.entries(machines)) lines.push(`machine ${name}${paused ? ' paused' : ''}`);
  return lines.sort();
}

/** The same by what the journal says is held. */
export function owed(journal: Journal): string[] {
  return journal.deployments().flatMap(owedTo).sort();
}

function owedTo({ twin, contract, workloads }: DeploymentRecord): string[] {
  return workloads.flatMap(({ name, state, held }) => {
    if (held === undefined) return [];
    const id = workloadId(twin, contract, name);
    const lines = held.allocations.flatMap(({ kind, resource, bytes }) => [
      `${kind} ${resource} ${bytes}`,
      ...(kind === 'volume' ? [`folder ${resource}`] : []),
    ]);
    if (held.network !== undefined) {
      const network = networkId(twin, held.network.name);
      lines.push(`network ${network}`, `network record ${network}.json ${id} false`, `lease ${network}`);
      if (held.network.wireguardPort !== 0) lines.push(`port ${held.network.wireguardPort}`);
    }
    if (held.address !== undefined) {
      const tap = uniqueName(id, held.address.network);
      lines.push(`tap t-${tap} b-${networkId(twin, held.address.network)}`);
      lines.push(`mount ${id}`, `mount point ${id}`, `mount record ${id}.json`);
      lines.push(`machine ${id}${state === 'paused' ? ' paused' : ''}`);
    }
    return lines;
  });
}

/** Where the two differ. `mayLack`: ids whose machine may be gone with what only a kernel knows. */
export function differences(
  stands: readonly string[],
  should: readonly string[],
  mayLack: readonly string[],
): string[] {
  const isKernels = (line: string): boolean =>
    mayLack.some((id) => line === `machine ${id} paused` || line === `mount ${id}` || line.startsWith('tap '));
  // An empty folder whose volume's removal was cut short is nobody's loss: the next of that name begins anew.
  const isStray = (line: string): boolean => line.startsWith('folder ');
  return [
    ...stands
      .filter((line) => !should.includes(line) && !isStray(line))
      .map((line) => `stands and should not: ${line}`),
    ...should
      .filter((line) => !stands.includes(line) && !isKernels(line))
      .map((line) => `should stand and does not: ${line}`),
  ];
}

function read(path: string): Json {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Json) : {};
}

function list(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

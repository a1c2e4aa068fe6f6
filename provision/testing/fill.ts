/** Fills a journal with deployments that run, as fast as the disk takes them: for benchmarks of a node that is full. */
import { DatabaseSync } from 'node:sqlite';
import { deploymentHash } from '../../schemas/challenge.ts';
import { formatDeployment, formatWorkload } from '../../schemas/deployment.ts';
import type { PlacedAllocation, ReservedWorkload } from '../plan/capacity.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from './tenant.ts';

/** Numbers that stand in the one deployment that is copied, and nowhere else in it. */
const TWIN = 888_000_888;
const CONTRACT = 999_000_999n;

export interface Filling {
  /** Twins that have the deployments in turn, from `firstTwin` on. */
  readonly twins?: number;
  readonly firstTwin?: number;
  readonly firstContract?: number;
  /** Of each deployment. */
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly pool?: string;
}

/**
 * Makes the journal at `path` hold `count` deployments more, each of a network, a disk and a machine, all `ok`.
 * By themselves: contracts 1 to `count`, of twins 100 to 1099. Documents have about 3 kB.
 */
export function fillJournal(path: string, count: number, filling: Filling = {}): void {
  const { twins = 1000, firstTwin = 100, firstContract = 1 } = filling;
  if (count === 0) return;
  writeOne(path, filling);
  const database = new DatabaseSync(path);
  try {
    // What is cut short here is thrown away whole.
    database.exec('PRAGMA synchronous = OFF; BEGIN');
    for (const table of ['deployments', 'workloads', 'signed', 'changes', 'steps', 'operations']) {
      const columns = database.prepare('SELECT name, type FROM pragma_table_info(?)').all(table) as {
        name: string;
        type: string;
      }[];
      const copied = columns.filter((one) => one.name !== 'sequence');
      const values = copied.map(({ name, type }) => {
        if (name === 'twin') return 'n.twin';
        return type === 'TEXT'
          ? `replace(replace(t.${name}, '${TWIN}', n.twin), '${CONTRACT}', n.contract)`
          : `t.${name}`;
      });
      const order = columns.length === copied.length ? '' : ', t.sequence';
      database
        .prepare(
          `WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i + 1 < ?1),
           n AS (SELECT i, CAST(?2 + i % ?3 AS INTEGER) AS twin, CAST(?4 + i AS INTEGER) AS contract FROM i)
           INSERT INTO ${table} (${copied.map((one) => one.name).join(', ')})
           SELECT ${values.join(', ')} FROM n JOIN ${table} t
           WHERE t.${table === 'deployments' ? 'id' : 'deployment'} = '${TWIN}-${CONTRACT}' ORDER BY n.i${order}`,
        )
        .run(count, firstTwin, twins, firstContract);
    }
    database.exec(`PRAGMA foreign_keys = ON; DELETE FROM deployments WHERE id = '${TWIN}-${CONTRACT}';
      DELETE FROM operations WHERE deployment = '${TWIN}-${CONTRACT}'; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`);
  } finally {
    database.close();
  }
}

/** The deployment of which the others are copies, as a node would have written it. */
function writeOne(
  path: string,
  { memoryBytes = 512 * 1024 ** 2, diskBytes = 1024 ** 3, pool = 'pool1' }: Filling,
): void {
  const journal = new SqliteJournal(path);
  const workloads = [
    networkWorkload('net1', 0, ['10.1.3.0/24', '10.1.4.0/24']),
    diskWorkload('disk1', diskBytes),
    machineWorkload('vm1', { mounts: ['disk1'], memory: memoryBytes, environment: keys() }),
  ];
  const deployment = new Tenant(TWIN).deployment(CONTRACT, workloads, 0, '{"version":3,"type":"vm","name":"vm"}');
  const named = (name: string): string => `${TWIN}-${CONTRACT}-${name}`;
  const placed = (resource: string, kind: PlacedAllocation['kind'], bytes: number): PlacedAllocation => {
    return { resource, kind, media: 'ssd', bytes, pool };
  };
  const holds = (name: string, more: Partial<ReservedWorkload> = {}): ReservedWorkload => {
    const type = workloads.find((one) => one.name === name)?.type ?? '';
    return { name, type, state: 'pending', vcpus: 0, memoryBytes: 0, publicIps: 0, allocations: [], ...more };
  };
  const { id } = journal.accept({
    twin: TWIN,
    contract: CONTRACT,
    version: 0,
    document: formatDeployment(deployment),
    hash: deploymentHash(deployment),
    trace: 'a4f0c2d1e3b5968778695a4b3c2d1e0f',
    workloads: workloads.map((workload) => ({
      name: workload.name,
      type: workload.type,
      version: 0,
      signed: formatWorkload(workload),
      after: workload.type === 'zmachine' ? ['net1', 'disk1'] : [],
    })),
    reservation: {
      twin: TWIN,
      contract: CONTRACT,
      workloads: [
        holds('net1', {
          network: { name: 'net1', subnet: '10.1.2.0/24', range: '10.1.0.0/16', wireguardPort: 0 },
        }),
        holds('disk1', { allocations: [placed(named('disk1'), 'disk', diskBytes)] }),
        holds('vm1', {
          vcpus: 1,
          memoryBytes,
          allocations: [placed(`rootfs:${named('vm1')}`, 'volume', 500 * 1024 ** 2)],
          address: { network: 'net1', ip: '10.1.2.5' },
        }),
      ],
    },
  });
  const results = {
    net1: '{}',
    disk1: `{"volume_id":"${named('disk1')}"}`,
    vm1: `{"id":"${named('vm1')}","ip":"10.1.2.5","planetary_ip":"","mycelium_ip":"","console_url":"10.1.2.0:20005"}`,
  };
  journal.begin(id);
  for (const [workload, data] of Object.entries(results)) {
    for (const state of ['started', 'done'] as const) {
      journal.recordStep(id, { workload, step: 'make', state, message: '', at: Date.now(), trace: 'a4f0c2d1' });
    }
    journal.finish(id, workload, { state: 'ok', data });
  }
  journal.end(id, 'done', '');
  journal.close();
}

/** What tenants give a machine, about as long as it usually is. */
function keys(): Record<string, string> {
  const key = `ssh-rsa ${'AAAAB3NzaC1yc2EAAAADAQABAAABgQ'.repeat(45)} user@example.org`;
  return { SSH_KEY: key, GREETING: 'hello' };
}

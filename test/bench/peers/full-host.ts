/**
 * A host that has everything which the journal in `DIR` holds, behind all daemons that provisiond asks, in a
 * process of its own: `--broker URL --state DIR`.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { holdingsOf } from '../../../provision/reconcile/holdings.ts';
import { SqliteJournal } from '../../../provision/store/sqlite.ts';
import { TestHost } from '../../../provision/testing/host.ts';
import { workloadId } from '../../../schemas/ids.ts';

const TIB = 1024 ** 4;

const { values } = parseArgs({ options: { broker: { type: 'string' }, state: { type: 'string' } } });
const { broker, state } = values;
if (broker === undefined || state === undefined) throw new Error('--broker and --state are required');

const host = new TestHost(state);
host.poolBytes = 1024 * TIB;
const journal = new SqliteJournal(join(state, 'provisiond', 'journal.sqlite'));
for (const record of journal.deployments()) {
  const { twin, contract, hash } = record;
  host.contracts.set(contract, {
    ...{ Found: true, TwinID: twin, Kind: 'node', State: 'created', NodeID: 11, DeploymentHash: hash },
    ...{ ContractID: contract, PublicIPs: 0, RentedBy: 0, BlockNumber: 5, AgeSeconds: 0 },
  });
  for (const workload of record.workloads) {
    const id = workloadId(twin, contract, workload.name);
    const bytes = new Map(workload.held?.allocations.map((one) => [one.resource, one.bytes]));
    for (const { kind, name } of holdingsOf(record, workload)) {
      if (kind === 'volume') host.volumes.set(name, bytes.get(name) ?? 0);
      if (kind === 'disk') host.disks.set(name, { size: bytes.get(name) ?? 0, formatted: true });
      if (kind === 'network') host.networks.set(id, name);
      if (kind === 'tap') {
        host.taps.add(name.slice('t-'.length));
        host.tapOwners.set(name.slice('t-'.length), id);
      }
      if (kind === 'mount') host.mounts.set(name, '');
      if (kind === 'machine') host.machines.set(name, {});
    }
  }
}
journal.close();

for (const server of host.serve(broker)) await server.start();
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ msg: 'ready' })}\n`);

import type { z } from 'zod';
import { capacityGet, parseOutput } from '../../schemas/index.ts';
import { CliError, type Command, readFlags } from '../command.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf } from '../node/layout.ts';
import { requireRunning } from '../node/lifecycle.ts';
import { openPeer } from '../node/peer.ts';
import { size, table } from '../table.ts';

const usage = `usage: gridnode capacity [--state DIR] [--json]

What the node has, keeps for itself, gave away, promised and can still take, read
over RMB as the farmer's twin.`;

const CALL_DEADLINE_MS = 15_000;

export const command: Command = {
  usage,
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, json: { type: 'boolean' } }, usage);
    const layout = layoutOf(values.state);
    const config = await loadConfig(layout);
    if (!config.development) throw new CliError('this node has no farmer key; ask it over RMB: zos.capacity.get');
    await requireRunning(layout);
    const peer = await openPeer(layout, config, 'farmer');
    try {
      const report = parseOutput(capacityGet, await peer.callNode(capacityGet.name, '', CALL_DEADLINE_MS));
      process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${capacityTable(report)}\n`);
    } finally {
      await peer.close();
    }
    return 0;
  },
};

type Report = z.output<typeof capacityGet.output>;

/** What was asked for and is not done yet. */
function waitingLine({ deployments, workloads, leaving, oldest }: Report['waiting']): string {
  const accepted =
    deployments === 0
      ? 'nothing waits'
      : `waiting: ${workloads} workloads of ${deployments} deployments, the oldest since ${new Date(oldest * 1000).toISOString()}`;
  return leaving === 0 ? accepted : `${accepted}; ${leaving} workloads are being removed`;
}

/** A farmer's table: one column a kind of capacity, one row a place it went. */
export function capacityTable(report: Report): string {
  const rows = (['total', 'system', 'committed', 'pending', 'free'] as const).map((name) => {
    const amount = report[name];
    return [
      name === 'system' ? 'reserved by the system' : name,
      `${amount.cru}`,
      size(amount.mru),
      size(amount.sru),
      size(amount.hru),
    ];
  });
  const pools = report.pools.map((pool) => [
    pool.name,
    pool.type,
    size(pool.total),
    size(pool.reserved),
    size(pool.free),
    size(pool.largest_disk),
  ]);
  return [
    table(['', 'vCPU', 'memory', 'SSD', 'HDD'], rows),
    '',
    `largest single disk: ${size(report.largest_disk)}; logical CPUs: ${report.logical_cpus}`,
    '',
    table(['pool', 'type', 'total', 'taken', 'free', 'largest disk'], pools),
    '',
    waitingLine(report.waiting),
  ].join('\n');
}

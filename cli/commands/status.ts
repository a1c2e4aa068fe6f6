import { ZinitClient } from '../../modules/zinit/index.ts';
import { type Command, readFlags } from '../command.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf } from '../node/layout.ts';
import { requireRunning } from '../node/lifecycle.ts';
import { table } from '../table.ts';

const usage = 'usage: gridnode status [--state DIR] [--json]';

export const command: Command = {
  usage,
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, json: { type: 'boolean' } }, usage);
    const layout = layoutOf(values.state);
    const config = await loadConfig(layout);
    await requireRunning(layout);
    const units = await new ZinitClient(layout.control).list();
    if (values.json) {
      process.stdout.write(`${JSON.stringify({ state: layout.state, config, units })}\n`);
    } else {
      const rows = units.map((unit) => [
        unit.name,
        unit.state,
        unit.pid === undefined ? '-' : `${unit.pid}`,
        `${unit.restarts}`,
        `${Math.round((Date.now() - unit.since) / 1000)} s`,
        unit.reason,
      ]);
      if (config.simulated !== null) process.stdout.write('a simulated node: its drivers keep books, nothing runs\n');
      process.stdout.write(`${table(['unit', 'state', 'pid', 'restarts', 'since', 'reason'], rows)}\n`);
    }
    return units.every((unit) => unit.state === 'running' || unit.state === 'success') ? 0 : 1;
  },
};

import { existsSync } from 'node:fs';
import { type Command, readFlags } from '../command.ts';
import { UserNetwork } from '../demo/user-network.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf } from '../node/layout.ts';
import { isSimulated, stopNode } from '../node/lifecycle.ts';
import { findOwnTraces, findTraces } from '../node/traces.ts';

const usage = `usage: gridnode down [--purge] [--state DIR]

Stops daemons and machines. --purge also removes every trace: networks, pools,
keys, journal and the state folder itself.`;

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, purge: { type: 'boolean', default: false } }, usage);
    const layout = layoutOf(values.state);
    // A purge must work on what a broken start left, too.
    if (!values.purge) await loadConfig(layout);
    if (!existsSync(layout.state)) process.stderr.write(`there is no ${layout.state}: is --state right?\n`);
    const simulated = await isSimulated(layout);
    // A demo that was kept has its user's network beside the node's.
    if (values.purge && !simulated) await new UserNetwork(layout).leave();
    const stays = await stopNode(layout, { purge: values.purge, onStep: (text) => process.stdout.write(`${text}\n`) });
    if (!values.purge) return 0;
    if (stays !== undefined) process.stdout.write(`${layout.state} is empty and stays: ${stays}\n`);
    const found = await (simulated ? findOwnTraces(layout) : findTraces(layout));
    const own = [`folder ${layout.state}`, `mount ${layout.state}`];
    const traces = stays === undefined ? found : found.filter((trace) => !own.includes(trace));
    for (const trace of traces) process.stdout.write(`still there: ${trace}\n`);
    return traces.length === 0 ? 0 : 1;
  },
};

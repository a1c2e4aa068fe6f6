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
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, purge: { type: 'boolean', default: false } }, usage);
    const layout = layoutOf(values.state);
    // A purge must work on what a broken start left, too.
    if (!values.purge) await loadConfig(layout);
    const simulated = await isSimulated(layout);
    // A demo that was kept has its user's network beside the node's.
    if (values.purge && !simulated) await new UserNetwork(layout).leave();
    await stopNode(layout, { purge: values.purge, onStep: (text) => process.stdout.write(`${text}\n`) });
    if (!values.purge) return 0;
    const traces = await (simulated ? findOwnTraces(layout) : findTraces(layout));
    for (const trace of traces) process.stdout.write(`still there: ${trace}\n`);
    return traces.length === 0 ? 0 : 1;
  },
};

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, type Command, readOptions } from '../command.ts';
import { Stages } from '../demo/stages.ts';
import { makeLayout } from '../node/layout.ts';
import { startNode, type Wishes } from '../node/start.ts';
import { parseSize } from '../table.ts';

const usage = `usage: gridnode up [options]

Starts a node and returns when it answers. Without --chain it runs a development
chain and a relay of its own, and makes a farmer, a node and a user on them.

  --state DIR         where the node lives (default /var/lib/gridnode/node)
  --isolated          in network and mount namespaces of its own
  --pool-size SIZE    size of the loop file that stands in for a disk (default 10G)
  --device PATH       a whole empty disk instead; may be given more than once
  --chain URL,...     chain of the grid; the node's key is in keys/node.json
  --relay URL,...     relays of the grid
  --flists DIR        folder that file:// flists may come from
  --allow-address CIDR,...  ranges that flists may come from although they are reserved
  --deny-private      no flists from private ranges
  --accel auto|kvm|tcg
  --log-level LEVEL   trace, debug, info, warn, error

A node that ran before starts with the options of then when none are given.`;

const options = {
  state: { type: 'string' },
  isolated: { type: 'boolean', default: false },
  'pool-size': { type: 'string', default: '10G' },
  device: { type: 'string', multiple: true },
  chain: { type: 'string' },
  relay: { type: 'string' },
  flists: { type: 'string' },
  'allow-address': { type: 'string' },
  'deny-private': { type: 'boolean', default: false },
  accel: { type: 'string', default: 'auto' },
  'log-level': { type: 'string', default: 'info' },
} as const;

export const command: Command = {
  usage,
  async run(args) {
    const { values } = readOptions(args, options, usage);
    const poolSize = parseSize(values['pool-size']);
    if (poolSize === undefined)
      throw new CliError(`--pool-size ${values['pool-size']} is not a size; write 10G or 500M`);
    const { accel } = values;
    if (accel !== 'auto' && accel !== 'kvm' && accel !== 'tcg')
      throw new CliError(`--accel ${accel}: use auto, kvm or tcg`);
    if ((values.chain === undefined) !== (values.relay === undefined))
      throw new CliError('--chain and --relay go together');
    const layout = makeLayout(values.state);
    const wishes: Wishes = {
      isolated: values.isolated,
      poolSize,
      devices: values.device ?? [],
      accel,
      flistFolder: values.flists === undefined ? null : resolve(values.flists),
      flistAllow: values['allow-address']?.split(',') ?? [],
      flistDenyPrivate: values['deny-private'],
      logLevel: values['log-level'],
      ...(values.chain === undefined ? {} : { chain: values.chain.split(',') }),
      ...(values.relay === undefined ? {} : { relay: values.relay.split(',') }),
    };
    const again =
      existsSync(layout.config) && args.every((arg, i) => arg.startsWith('--state') || args[i - 1] === '--state');
    const stages = new Stages({ quiet: false });
    const stopping = new AbortController();
    process.once('SIGINT', () => stopping.abort(new CliError('interrupted; stop what runs with: gridnode down')));
    const config = await startNode(
      layout,
      again ? undefined : wishes,
      (name, work) => stages.run(name, work),
      stopping.signal,
    );
    process.stdout.write(`node in ${layout.state} answers on ${config.relay.join(', ')}\n`);
    return 0;
  },
};

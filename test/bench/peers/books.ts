/**
 * The daemons of a simulated node that provisiond asks, in a process of their own:
 * `--broker URL --state DIR`. Their books are as they were left in `DIR`.
 */
import { parseArgs } from 'node:util';
import { simulatedHost } from '../../../modules/host/simulation.ts';
import { beginDaemon, stopOnSignal } from '../../../modules/zbus/daemon.ts';
import { openLog } from '../../../modules/zbus/process-log.ts';
import {
  simulatedFlistd,
  simulatedNetworkd,
  simulatedStoraged,
  simulatedVmd,
} from '../../../simulation/node/daemons.ts';

const TIB = 1024 ** 4;
const size = { cru: 64, mru: TIB, sru: 64 * TIB, hru: 0 };

const { values } = parseArgs({ options: { broker: { type: 'string' }, state: { type: 'string' } } });
const { broker, state } = values;
if (broker === undefined || state === undefined) throw new Error('--broker and --state are required');

const host = simulatedHost({ delayMs: 0, refuse: () => {} });
const daemons = [
  simulatedStoraged(size, host),
  simulatedNetworkd(host),
  simulatedFlistd(host),
  simulatedVmd(size, host),
];
const running = daemons.map((daemon) => beginDaemon(daemon, { broker, state, logLevel: 'silent', options: {} }));
stopOnSignal(openLog({ name: 'books', level: 'silent' }), async () => {
  for (const daemon of running) await daemon.stop();
});
await Promise.all(running.map((daemon) => daemon.ready));
process.stdout.write(`${JSON.stringify({ msg: 'ready' })}\n`);

/** The process `devchain`: `--listen HOST:PORT --state DIR --block-ms N --bill-every SECONDS --grace-blocks N --faults --log-level LEVEL`; keeps itself in `DIR/devchain`. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopOnSignal } from '../../../modules/zbus/daemon.ts';
import { openLog } from '../../../modules/zbus/process-log.ts';
import { listenAddress } from './listen.ts';
import { startDevChain } from './start.ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:9944' },
    state: { type: 'string' },
    'block-ms': { type: 'string' },
    'bill-every': { type: 'string' },
    'grace-blocks': { type: 'string' },
    faults: { type: 'boolean', default: false },
    'log-level': { type: 'string', default: 'info' },
  },
});

const { host, port } = listenAddress(values.listen);

/** A whole number of at least `least`, undefined where the option was not given. */
function whole(name: 'block-ms' | 'bill-every' | 'grace-blocks', least: number): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name} wants a whole number of at least ${least}, not ${text}`);
}
const blockMs = whole('block-ms', 100);
const everySeconds = whole('bill-every', 1);
const graceBlocks = whole('grace-blocks', 1);

process.title = 'devchain';
const log = openLog({ name: 'devchain', level: values['log-level'] });
const running = await startDevChain({
  host,
  port,
  log,
  ...(values.state === undefined ? {} : { state: join(values.state, 'devchain') }),
  faults: values.faults,
  billing: {
    ...(everySeconds === undefined ? {} : { everySeconds }),
    ...(graceBlocks === undefined ? {} : { graceBlocks }),
  },
  ...(blockMs === undefined ? {} : { timing: { idleBlockMs: blockMs } }),
});

stopOnSignal(log, running.stop);

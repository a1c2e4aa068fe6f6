/** The process `devweb`: `--listen HOST:PORT --chain URL --relay URL[,URL] --key-file FILE --log-level LEVEL`. */
import { parseArgs } from 'node:util';
import { stopOnSignal } from '../../../../modules/zbus/daemon.ts';
import { openLog } from '../../../../modules/zbus/process-log.ts';
import { readKeyFile } from '../../../rmb/identity-source.ts';
import { listenAddress } from '../listen.ts';
import { startWeb } from './start.ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:8782' },
    chain: { type: 'string' },
    relay: { type: 'string' },
    'key-file': { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
  },
});

const { host, port } = listenAddress(values.listen);
const { chain, relay, 'key-file': keyFile } = values;
if (chain === undefined || relay === undefined || keyFile === undefined) {
  throw new Error('devweb: --chain URL, --relay URL and --key-file FILE are required');
}

process.title = 'devweb';
const log = openLog({ name: 'devweb', level: values['log-level'] });
const identity = await readKeyFile(keyFile);
const running = await startWeb({ chain, relays: relay.split(','), identity, host, port, log });

stopOnSignal(log, running.stop);

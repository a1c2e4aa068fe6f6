/** The process `devweb`: `--listen HOST:PORT --chain URL --relay URL[,URL] --key-file FILE --log-level LEVEL`. */
import { parseArgs } from 'node:util';
import { openLog } from '../../../../modules/zbus/process-log.ts';
import { readKeyFile } from '../../../rmb/identity-source.ts';
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

const [, host, port] = /^\[?(.+?)\]?:(\d{1,5})$/.exec(values.listen) ?? [];
if (host === undefined || Number(port) > 65_535) throw new Error(`--listen wants HOST:PORT, not ${values.listen}`);
const { chain, relay, 'key-file': keyFile } = values;
if (chain === undefined || relay === undefined || keyFile === undefined) {
  throw new Error('devweb: --chain URL, --relay URL and --key-file FILE are required');
}

process.title = 'devweb';
const log = openLog({ name: 'devweb', level: values['log-level'] });
const identity = await readKeyFile(keyFile);
const running = await startWeb({ chain, relays: relay.split(','), identity, host, port: Number(port), log });

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stop failed');
        process.exit(1);
      },
    );
  });
}

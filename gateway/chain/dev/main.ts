/** The process `devchain`: `--listen HOST:PORT --state DIR --block-ms N --log-level LEVEL`; keeps itself in `DIR/devchain`. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openLog } from '../../../modules/zbus/process-log.ts';
import { startDevChain } from './start.ts';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:9944' },
    state: { type: 'string' },
    'block-ms': { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
  },
});

const found = /^\[?(.+?)\]?:(\d{1,5})$/.exec(values.listen);
const [, host, port] = found ?? [];
if (host === undefined || Number(port) > 65_535) throw new Error(`--listen wants HOST:PORT, not ${values.listen}`);
const blockMs = values['block-ms'] === undefined ? undefined : Number(values['block-ms']);
if (blockMs !== undefined && !(Number.isInteger(blockMs) && blockMs >= 100)) {
  throw new Error(`--block-ms wants a whole number of at least 100, not ${values['block-ms']}`);
}

process.title = 'devchain';
const log = openLog({ name: 'devchain', level: values['log-level'] });
const running = await startDevChain({
  host,
  port: Number(port),
  log,
  ...(values.state === undefined ? {} : { state: join(values.state, 'devchain') }),
  ...(blockMs === undefined ? {} : { timing: { idleBlockMs: blockMs } }),
});

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

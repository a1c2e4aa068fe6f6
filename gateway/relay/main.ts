/** The relay as a process; its flags are in flags.ts. */
import { stopOnSignal } from '../../modules/zbus/daemon.ts';
import { openLog } from '../../modules/zbus/process-log.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { readRelayFlags } from './flags.ts';
import { startRelay } from './start.ts';

const { logLevel, ...flags } = readRelayFlags(process.argv.slice(2));
const log = openLog({ name: 'relay', level: logLevel });
process.title = 'relay';
const relay = await startRelay(flags, log);
stopOnSignal(log, relay.stop);
finishStartup();

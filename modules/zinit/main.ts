/** The supervisor as a process: `--state DIR` holds `zinit/*.yaml`, `zinit.sock` and `log/`. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { serveControl } from './control.ts';
import { ownLog } from './log.ts';
import { isAlive, markProcess } from './process.ts';
import { readMark, writeMark } from './record.ts';
import { Supervisor } from './supervisor.ts';
import { loadUnits } from './unit.ts';

const { values } = parseArgs({
  options: { state: { type: 'string' }, 'log-level': { type: 'string', default: 'info' } },
});
if (values.state === undefined) throw new Error('zinit: --state DIR is required');
const state = values.state;
const log = pino({ name: 'zinit', level: values['log-level'] }, ownLog);
process.title = 'zinit';

const folder = join(state, 'zinit');
await mkdir(folder, { recursive: true, mode: 0o700 });
const other = await readMark(folder, 'supervisor');
if (other !== undefined && isAlive(other))
  throw new Error(`a supervisor already runs on ${state} with pid ${other.pid}`);
const own = markProcess(process.pid);
if (own !== undefined) await writeMark(folder, 'supervisor', own);

const supervisor = await Supervisor.begin(await loadUnits(folder), {
  state,
  onChange: (status) =>
    log.info({ unit: status.name, state: status.state, pid: status.pid, reason: status.reason }, 'unit'),
});
let exiting = false;
const exit = (): void => {
  if (exiting) return;
  exiting = true;
  control.close();
  const records = ['supervisor.json', 'run'].map((name) => rm(join(folder, name), { recursive: true, force: true }));
  Promise.all(records).then(
    () => process.exit(0),
    () => process.exit(1),
  );
};
const control = await serveControl(supervisor, join(state, 'zinit.sock'), exit);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {
    log.info({ signal }, 'stopping every unit');
    supervisor.stop().then(exit, (error: unknown) => {
      log.error({ err: error }, 'stop failed');
      process.exit(1);
    });
  });
}
log.info({ units: supervisor.list().map((unit) => unit.name) }, 'supervising');
// Half the heap is what loading left behind. Needs `--expose-gc`; without it V8 decides by itself.
setTimeout(() => globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' }), 1_500).unref();

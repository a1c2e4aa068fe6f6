/**
 * Preloaded into a process that is measured: how long its event loop was kept from going on, a line of
 * `{at, ms}` in the file `TURNS_FILE` for each moment in which that was longer than `TOLD_MS`. What the
 * thread did not run meanwhile is no work of its own: it counts as little as its processor time does.
 */
import { appendFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;
const LOOK_MS = 20;
const TOLD_MS = 25;

const file = process.env.TURNS_FILE;
if (file === undefined) throw new Error('TURNS_FILE is not set');
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
let before = process.threadCpuUsage();
setInterval(() => {
  const { user, system } = process.threadCpuUsage(before);
  before = process.threadCpuUsage();
  const ms = Math.min(delay.max / 1e6, (user + system) / 1000);
  delay.reset();
  if (ms >= TOLD_MS) appendFileSync(file, `${JSON.stringify({ at: Date.now(), ms })}\n`);
}, LOOK_MS).unref();

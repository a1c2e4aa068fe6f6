/** The log of a process: JSON lines on standard output, which is usually a pipe that somebody reads. */
import { type Logger, type LoggerOptions, pino } from 'pino';

/** Bytes that may wait for a slow reader; what is logged beyond them is dropped and counted. */
const WAITING_MOST = 4 * 1024 * 1024;

/** A full pipe must neither hold up the process nor fill its memory, so lines are written beside its work. */
export function openLog(options: LoggerOptions): Logger {
  const out = pino.destination({ dest: 1, sync: false, maxLength: WAITING_MOST });
  const log = pino(options, out);
  let dropped = 0;
  out.on('drop', () => {
    dropped += 1;
  });
  out.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    log.warn({ lines }, 'lines of this log were dropped: it was not read for a while');
  });
  return log;
}

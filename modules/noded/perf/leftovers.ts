/** A trial that a crash or a stop cut short is taken away by the next start. */
import { access, rm } from 'node:fs/promises';
import type { Logger } from 'pino';
import { writeFileAtomic } from '../../host/files.ts';
import type { Clock } from './clock.ts';
import { type Marker, removeTrials, type Trial } from './tasks/provision-trial.ts';

const AGAIN_MS = 30_000;
/** Other daemons may start after this one; what is left then is removed by the next trial. */
const TRIES = 20;

export function fileMarker(path: string): Marker {
  return {
    set: () => writeFileAtomic(path, ''),
    isSet: () =>
      access(path).then(
        () => true,
        () => false,
      ),
    clear: () => rm(path, { force: true }),
  };
}

export interface LeftoverOptions {
  readonly trials: readonly Trial[];
  readonly marker: Marker;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly signal: AbortSignal;
}

export async function removeLeftovers({ trials, marker, clock, log, signal }: LeftoverOptions): Promise<void> {
  if (!(await marker.isSet())) return;
  for (let tried = 1; tried <= TRIES && !signal.aborted; tried++) {
    const failures = await removeTrials(trials, marker);
    if (failures.length === 0) {
      log.info({ tried }, 'removed what an interrupted trial left');
      return;
    }
    log.warn({ tried, failures }, 'an interrupted trial is not removed yet');
    await clock.sleep(AGAIN_MS, signal).catch(() => undefined);
  }
}

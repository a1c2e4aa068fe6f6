/** How a tenant sends what a node may not live to answer. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

export interface Sending {
  /** What went wrong, undefined for an answer. */
  readonly send: () => Promise<Error | undefined>;
  /** What the node has, by its version; an error where it has nothing. Waits for a node that is not back yet. */
  readonly look: () => Promise<{ readonly version: number } | Error>;
  /** Nobody waits for it any more. */
  readonly isOver: () => boolean;
  readonly version: number;
  /** Milliseconds after which nothing is sent again: what was begun before is waited for. */
  readonly deadlineMs: number;
}

/** Sends again where no answer comes. What was answered, once, has to be there; throws where it is not. */
export async function sendUntilTaken({ send, look, isOver, version, deadlineMs }: Sending): Promise<void> {
  const began = performance.now();
  for (let sent = 1; ; sent++) {
    // Looking may have taken all the time there was: who could not send again was not refused.
    const isLast = performance.now() - began > deadlineMs;
    const failure = await send();
    if (isOver()) return;
    const found = await look();
    if (isOver() || (!(found instanceof Error) && found.version === version)) return;
    const there = found instanceof Error ? found.message : `the node has version ${found.version}`;
    if (failure === undefined) throw new Error(`version ${version} was promised: ${there}`);
    if (isLast) {
      const seconds = Math.round((performance.now() - began) / 1_000);
      const text = `version ${version} was not taken, sent ${sent} times in ${seconds} s: ${failure.message}; ${there}`;
      throw new Error(text, { cause: failure });
    }
    await sleep(POLL_MS);
  }
}

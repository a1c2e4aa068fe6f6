/** Bytes of messages that began to come and have not ended: each may be 16 MiB, and lies in memory until its end. */
import type { Session } from './session.ts';

/** Of one twin, all its sessions together, and of all twins. */
const MAX_TWIN_BYTES = 64 * 1024 * 1024;
const MAX_BYTES = 256 * 1024 * 1024;
const MIB = 1024 * 1024;

/** Sessions that have to end for what is begun to fit: the largest of a twin that is over its share, then of all. */
export function sessionsOverBudget(sessions: Iterable<Session>): Session[] {
  const begun = [...sessions]
    .map((session) => ({ session, bytes: session.begunBytes, twin: session.address.twin }))
    .filter(({ bytes }) => bytes > MIB)
    .sort((one, other) => one.bytes - other.bytes);
  const perTwin = new Map<number, number>();
  const over: Session[] = [];
  let all = 0;
  for (const { session, bytes, twin } of begun) {
    const ofTwin = (perTwin.get(twin) ?? 0) + bytes;
    if (ofTwin > MAX_TWIN_BYTES || all + bytes > MAX_BYTES) {
      over.push(session);
      continue;
    }
    perTwin.set(twin, ofTwin);
    all += bytes;
  }
  return over;
}

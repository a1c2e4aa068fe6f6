/** Names of messages. */
import { platform } from './platform.ts';

/**
 * What is signed has the time's digits right behind the uid. After a letter
 * they have one reading; after a digit the same bytes may be a later time.
 */
export function newUid(): string {
  for (;;) {
    const uid = platform.uuid();
    if (/[a-f]$/.test(uid)) return uid;
  }
}

/** What a program's twin should say on the chain against what it says: relays as a set, the key byte by byte. */
import { GridError } from '../../schemas/errors/index.ts';

/**
 * What may be written to the chain. `union` adds what is missing, as another
 * program of the same twin may have its own relays there; `replace` makes the
 * set exactly ours.
 */
export const updateModes = ['never', 'union', 'replace'] as const;
export type UpdateMode = (typeof updateModes)[number];

export interface TwinText {
  /** Relay host names, in no order. */
  readonly relays: readonly string[];
  /** SEC1 point, null where the twin has none. */
  readonly encryptionKey: Uint8Array | null;
}

export interface TwinDifference {
  /** Ours that the chain does not name. */
  readonly missing: readonly string[];
  /** Named on the chain, not ours. */
  readonly extra: readonly string[];
  readonly key: 'same' | 'absent' | 'other';
}

const MOST_RELAYS = 4;
const MOST_BYTES = 1024;

/** Hosts of relay URLs in the form the chain takes: no port, small letters. */
export function relayHosts(urls: readonly string[]): string[] {
  return asSet(urls.map((url) => new URL(url).hostname));
}

/** The rules of the chain for relay names. @throws GridError `chain_relays` */
export function checkRelays(relays: readonly string[]): void {
  const refuse = (reason: string): never => {
    throw new GridError('chain_relays', { relays: [...relays], reason });
  };
  if (relays.length > MOST_RELAYS) refuse(`${relays.length} relays are more than ${MOST_RELAYS}`);
  for (const name of relays) {
    if (!/^[A-Za-z0-9.-]+$/.test(name)) refuse(`'${name}' is not a host name alone: letters, digits, '-' and '.'`);
    if (/^\.|\.\.|\.$/.test(name)) refuse(`'${name}' has an empty part beside a dot`);
    if (/^[^.](\.|$)/.test(name)) refuse(`'${name}' has one character before its first dot, the chain wants two`);
  }
  if (relays.join('_').length > MOST_BYTES) refuse(`their names together are longer than ${MOST_BYTES} bytes`);
}

export function compareTwin(stored: TwinText, own: TwinText): TwinDifference {
  const [known, wanted] = [asSet(stored.relays), asSet(own.relays)];
  return {
    missing: wanted.filter((name) => !known.includes(name)),
    extra: known.filter((name) => !wanted.includes(name)),
    key: keyDifference(stored.encryptionKey, own.encryptionKey),
  };
}

/** What has to be written, undefined where nothing has. Nothing is ever erased: neither the last relay nor the key. */
export function planUpdate(stored: TwinText, own: TwinText, mode: UpdateMode): TwinText | undefined {
  if (mode === 'never') return undefined;
  const { missing, extra, key } = compareTwin(stored, own);
  const replaces = mode === 'replace' && own.relays.length > 0 && extra.length > 0;
  if (missing.length === 0 && !replaces && key === 'same') return undefined;
  return {
    relays: asSet(replaces ? own.relays : [...stored.relays, ...own.relays]),
    encryptionKey: own.encryptionKey ?? stored.encryptionKey,
  };
}

function keyDifference(stored: Uint8Array | null, own: Uint8Array | null): TwinDifference['key'] {
  if (own === null) return 'same';
  if (stored === null || stored.length === 0) return 'absent';
  return Buffer.compare(stored, own) === 0 ? 'same' : 'other';
}

function asSet(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.toLowerCase()).filter((name) => name !== ''))].sort();
}

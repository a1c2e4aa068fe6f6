/** Texts of strangers, times and verdicts, for terminals. */
import type { SignatureReport } from '../../gateway/rmb/index.ts';

const SHOWN = 160;

/** A text in quotes where it has anything but plain characters, cut where it is longer than `limit`. */
export function shown(text: string, limit = SHOWN): string {
  const short = text.length > limit ? `${text.slice(0, limit)}…` : text;
  // A stranger's escape codes must not reach the terminal.
  return /^[\p{L}\p{N}\p{P}\p{S}…]+$/u.test(short) ? short : printable(JSON.stringify(short));
}

function printable(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, (letter) => `\\u{${letter.codePointAt(0)?.toString(16)}}`);
}

/** Bytes as the text they are, or as hex. */
export function shownBytes(bytes: Uint8Array): string {
  try {
    return shown(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    const digits = Buffer.from(bytes).toString('hex');
    return `hex ${digits.length > SHOWN ? `${digits.slice(0, SHOWN)}…` : digits}`;
  }
}

/** `1700000000 (2023-11-14T22:13:20Z)`; times no calendar has are left as numbers. */
export function shownTime(seconds: number | bigint): string {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds}` : `${seconds} (${date.toISOString().replace('.000Z', 'Z')})`;
}

export function shownSignature(signature: SignatureReport): string {
  if (signature.state === 'refused') return signature.reason;
  const { keyType, twin, state } = signature;
  if (state === 'verified') return `${keyType}, verified with the key of twin ${twin}`;
  return `${keyType}, not checked: give --twin-key ${twin}=${keyType}:HEX`;
}

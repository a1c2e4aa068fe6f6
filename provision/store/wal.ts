/**
 * Whether a write-ahead log has commits that SQLite will not see: it believes a log up to the first frame
 * whose sum is wrong. What a crash cut short is at the end and was never promised; what stands behind a
 * wrong frame was. https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { existsSync, readFileSync } from 'node:fs';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

/** Commits behind the first wrong frame in the log of the database at `path`; 0 where there is no log. */
export function lostCommits(path: string): number {
  const wal = `${path}-wal`;
  if (!existsSync(wal)) return 0;
  const log = readFileSync(wal);
  if (log.length < HEADER_BYTES) return 0;
  const magic = log.readUInt32BE(0);
  if ((magic & ~1) >>> 0 !== MAGIC) return 0;
  const frameBytes = FRAME_HEADER_BYTES + log.readUInt32BE(8);
  const salts = log.subarray(16, 24);
  const sum = checksum((magic & 1) === 1);
  let lost = 0;
  let isWhole = sum(log, 0, 24, log.subarray(24, 32));
  for (let at = HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    // What has other salts is left over from before the log was begun anew.
    if (!log.subarray(at + 8, at + 16).equals(salts)) {
      isWhole = false;
      continue;
    }
    isWhole &&=
      sum(log, at, at + 8) &&
      sum(log, at + FRAME_HEADER_BYTES, at + frameBytes, log.subarray(at + 16, at + FRAME_HEADER_BYTES));
    const isCommit = log.readUInt32BE(at + 4) !== 0;
    if (!isWhole && isCommit) lost += 1;
  }
  return lost;
}

/** The running sum of SQLite's logs: adds a range, and compares with what is expected where that is given. */
function checksum(isBigEndian: boolean): (log: Buffer, from: number, to: number, expected?: Buffer) => boolean {
  let first = 0;
  let second = 0;
  return (log, from, to, expected) => {
    for (let at = from; at < to; at += 8) {
      first = (first + word(log, at, isBigEndian) + second) >>> 0;
      second = (second + word(log, at + 4, isBigEndian) + first) >>> 0;
    }
    return expected === undefined || (expected.readUInt32BE(0) === first && expected.readUInt32BE(4) === second);
  };
}

function word(log: Buffer, at: number, isBigEndian: boolean): number {
  return isBigEndian ? log.readUInt32BE(at) : log.readUInt32LE(at);
}

/** What 0-db promises on a device: the sizes of its namespaces, read from its index. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SIZE_OFFSET = 6;
const HEADER_BYTES = 15;
/** Namespace that 0-db makes itself and that promises nothing. */
const UNCOUNTED = 'default';

/** Sum of the maximum sizes, bytes; undefined where there is no readable index. */
export function namespaceBytes(volume: string): number | undefined {
  try {
    const index = join(volume, 'index');
    let sum = 0;
    for (const entry of readdirSync(index, { withFileTypes: true })) {
      if (!entry.isDirectory() || entry.name === UNCOUNTED) continue;
      const header = readFileSync(join(index, entry.name, 'zdb-namespace'));
      if (header.length < HEADER_BYTES) return undefined;
      sum += Number(header.readBigUInt64LE(SIZE_OFFSET));
    }
    return sum;
  } catch {
    return undefined;
  }
}

/** Writer of a small FAT volume: one root folder of read-only files, long names. */

interface FatFile {
  readonly name: string;
  readonly data: Uint8Array;
}

export interface FatVolume {
  /** At most eleven ASCII characters. */
  readonly label: string;
  /** Size of the image; FAT12 holds up to 4084 clusters of 512 bytes. */
  readonly sizeBytes: number;
  readonly files: readonly FatFile[];
}

const SECTOR = 512;
const ENTRY = 32;
const ROOT_ENTRIES = 128;
const RESERVED_SECTORS = 1;
const FATS = 2;
const MEDIA = 0xf8;
const MAX_CLUSTERS = 4084;
const END_OF_CHAIN = 0xfff;
/** 1 January 1980, the first date FAT knows. */
const DATE = 0x0021;
const ATTRIBUTE = { readOnly: 0x01, label: 0x08, long: 0x0f, archive: 0x20 } as const;

/** Thrown where the files do not fit into the volume. */
export class FatFullError extends Error {
  override readonly name = 'FatFullError';
  readonly neededBytes: number;
  readonly availableBytes: number;

  constructor(neededBytes: number, availableBytes: number) {
    super(`the files need ${neededBytes} bytes, the volume holds ${availableBytes}`);
    this.neededBytes = neededBytes;
    this.availableBytes = availableBytes;
  }
}

/**
 * The image, the same bytes for the same input. Throws `FatFullError`, and
 * `RangeError` for a size or a name that FAT12 cannot hold.
 */
export function writeFat({ label, sizeBytes, files }: FatVolume): Buffer {
  const sectors = sizeBytes / SECTOR;
  const rootSectors = (ROOT_ENTRIES * ENTRY) / SECTOR;
  const fatSectors = Math.ceil(((sectors + 2) * 3) / 2 / SECTOR);
  const dataSector = RESERVED_SECTORS + FATS * fatSectors + rootSectors;
  const clusters = sectors - dataSector;
  if (!Number.isInteger(sectors) || sectors > 0xffff || clusters < 1 || clusters > MAX_CLUSTERS) {
    throw new RangeError(`a FAT12 volume cannot have ${sizeBytes} bytes`);
  }
  const needed = files.reduce((sum, file) => sum + Math.ceil(file.data.length / SECTOR), 0) * SECTOR;
  if (needed > clusters * SECTOR) throw new FatFullError(needed, clusters * SECTOR);

  const image = Buffer.alloc(sizeBytes);
  const paddedLabel = Buffer.from(label.padEnd(11).slice(0, 11), 'latin1');
  bootSector(sectors, fatSectors, paddedLabel).copy(image);

  const chain = new Uint16Array(clusters + 2);
  chain[0] = 0xf00 | MEDIA;
  chain[1] = END_OF_CHAIN;
  const entries: Buffer[] = [shortEntry(paddedLabel, ATTRIBUTE.label, 0, 0)];
  let next = 2;
  files.forEach((file, index) => {
    const count = Math.ceil(file.data.length / SECTOR);
    const first = count === 0 ? 0 : next;
    for (let step = 0; step < count; step += 1)
      chain[next + step] = step === count - 1 ? END_OF_CHAIN : next + step + 1;
    image.set(file.data, (dataSector + next - 2) * SECTOR);
    next += count;
    entries.push(...longEntries(file.name, index, first, file.data.length));
  });
  if (entries.length > ROOT_ENTRIES) throw new RangeError(`a root folder holds ${ROOT_ENTRIES} entries`);

  const table = packFat12(chain);
  for (let copy = 0; copy < FATS; copy += 1) table.copy(image, (RESERVED_SECTORS + copy * fatSectors) * SECTOR);
  Buffer.concat(entries).copy(image, (RESERVED_SECTORS + FATS * fatSectors) * SECTOR);
  return image;
}

function bootSector(sectors: number, fatSectors: number, label: Buffer): Buffer {
  const boot = Buffer.alloc(SECTOR);
  boot.set([0xeb, 0x3c, 0x90]);
  boot.write('GRIDNODE', 3, 'latin1');
  boot.writeUInt16LE(SECTOR, 11);
  boot[13] = 1; // sectors in a cluster
  boot.writeUInt16LE(RESERVED_SECTORS, 14);
  boot[16] = FATS;
  boot.writeUInt16LE(ROOT_ENTRIES, 17);
  boot.writeUInt16LE(sectors, 19);
  boot[21] = MEDIA;
  boot.writeUInt16LE(fatSectors, 22);
  boot.writeUInt16LE(32, 24); // sectors in a track
  boot.writeUInt16LE(2, 26); // heads
  boot[36] = 0x80; // drive
  boot[38] = 0x29; // serial number, label and type follow
  boot.write('CIDA', 39, 'latin1');
  label.copy(boot, 43);
  boot.write('FAT12   ', 54, 'latin1');
  boot.set([0x55, 0xaa], 510);
  return boot;
}

/** Two 12-bit links in three bytes. */
function packFat12(chain: Uint16Array): Buffer {
  const packed = Buffer.alloc(Math.ceil((chain.length * 3) / 2));
  chain.forEach((link, index) => {
    const at = Math.floor((index * 3) / 2);
    if (index % 2 === 0) {
      packed[at] = link & 0xff;
      packed[at + 1] = (packed[at + 1] ?? 0) | (link >> 8);
    } else {
      packed[at] = (packed[at] ?? 0) | ((link & 0x0f) << 4);
      packed[at + 1] = link >> 4;
    }
  });
  return packed;
}

function shortEntry(name: Buffer, attributes: number, cluster: number, size: number): Buffer {
  const entry = Buffer.alloc(ENTRY);
  name.copy(entry, 0, 0, 11);
  entry[11] = attributes;
  entry.writeUInt16LE(DATE, 16);
  entry.writeUInt16LE(DATE, 18);
  entry.writeUInt16LE(DATE, 24);
  entry.writeUInt16LE(cluster, 26);
  entry.writeUInt32LE(size, 28);
  return entry;
}

/** The long name's entries, last part first, then the short entry they belong to. */
function longEntries(name: string, index: number, cluster: number, size: number): Buffer[] {
  if (!/^[\x21-\x7e]{1,255}$/.test(name)) throw new RangeError(`not a plain file name: ${JSON.stringify(name)}`);
  const short = Buffer.from(`SEED~${String(index).padEnd(3)}   `.slice(0, 11), 'latin1');
  const sum = short.reduce((value, byte) => (((value & 1) << 7) + (value >> 1) + byte) & 0xff, 0);
  const parts = Math.ceil(name.length / 13);
  const entries: Buffer[] = [];
  for (let part = parts; part >= 1; part -= 1) {
    const entry = Buffer.alloc(ENTRY);
    entry[0] = part | (part === parts ? 0x40 : 0);
    entry[11] = ATTRIBUTE.long;
    entry[13] = sum;
    LONG_NAME_OFFSETS.forEach((offset, place) => {
      const at = (part - 1) * 13 + place;
      entry.writeUInt16LE(at < name.length ? name.charCodeAt(at) : at === name.length ? 0 : 0xffff, offset);
    });
    entries.push(entry);
  }
  entries.push(shortEntry(short, ATTRIBUTE.archive | ATTRIBUTE.readOnly, cluster, size));
  return entries;
}

/** Where the thirteen characters of one long-name entry lie. */
const LONG_NAME_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] as const;

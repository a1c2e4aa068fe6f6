/** Keeps the chain's head in a file so that a restart continues where it ended. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../../modules/host/files.ts';
import { Header } from './block.ts';
import type { ChainSnapshot, DevChain } from './chain.ts';
import { decode, encode } from './scale/codec.ts';
import { fromHex, toHex } from './scale/hashing.ts';

const hex = z.string().regex(/^0x([0-9a-f]{2})*$/);
const Stored = z.object({
  version: z.literal(1),
  genesis: hex,
  head: z.object({ hash: hex, number: z.int().nonnegative(), header: hex, extrinsics: z.array(hex) }),
  hashes: z.array(z.tuple([z.int(), hex])),
  entries: z.record(hex, hex),
});

const FILE = 'chain.json';

/** The chain stored in `folder`, `undefined` when there is none; throws for a file that is not one. */
export async function loadSnapshot(folder: string): Promise<ChainSnapshot | undefined> {
  const raw = await readJson(join(folder, FILE));
  if (raw === undefined) return undefined;
  const stored = Stored.parse(raw);
  return {
    genesisHash: fromHex(stored.genesis),
    head: {
      hash: stored.head.hash,
      number: stored.head.number,
      header: decode(Header, fromHex(stored.head.header)),
      extrinsics: stored.head.extrinsics.map(fromHex),
      changed: [],
    },
    hashes: new Map(stored.hashes),
    entries: new Map(Object.entries(stored.entries).map(([key, value]) => [key, fromHex(value)])),
  };
}

function serialise(chain: DevChain): string {
  const { head } = chain;
  const entries = Object.fromEntries([...chain.state.entries(head.number)].map(([key, value]) => [key, toHex(value)]));
  const stored: z.input<typeof Stored> = {
    version: 1,
    genesis: toHex(chain.genesisHash),
    head: {
      hash: head.hash,
      number: head.number,
      header: toHex(encode(Header, head.header)),
      extrinsics: head.extrinsics.map(toHex),
    },
    hashes: [...chain.hashes()],
    entries,
  };
  return JSON.stringify(stored);
}

/**
 * Writes the chain after each block that holds transactions and after each
 * finalised one. One write runs at a time; blocks made meanwhile share the next.
 */
export class SnapshotWriter {
  readonly #chain: DevChain;
  readonly #folder: string;
  readonly #failed: (error: unknown) => void;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(chain: DevChain, folder: string, failed: (error: unknown) => void) {
    this.#chain = chain;
    this.#folder = folder;
    this.#failed = failed;
    chain.on('block', (block) => {
      if (block.extrinsics.length > 1) this.#soon();
    });
    chain.on('finalized', () => this.#soon());
  }

  #soon(): void {
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#write()
      .catch(this.#failed)
      .finally(() => {
        this.#running = undefined;
        if (this.#again) {
          this.#again = false;
          this.#soon();
        }
      });
  }

  async #write(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(this.#folder, FILE), serialise(this.#chain), 0o600);
  }

  /** Waits for the running write, then writes the head once more. */
  async close(): Promise<void> {
    this.#again = false;
    await this.#running;
    await this.#write();
  }
}

/** What this node was asked for: one file a network, and the leases of the link to the router. All 0600, keys inside. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GridError } from '../../schemas/errors/index.ts';
import { readJson, writeFileAtomic } from '../host/files.ts';
import { isNetworkId } from './plan/ids.ts';
import { networkSpec } from './plan/spec.ts';

const recordSchema = z.object({
  version: z.literal(1),
  /** Workload ids that hold the network; it goes with the last of them. */
  workloads: z.array(z.string()),
  /** Address on the link to the router. */
  lease: z.string(),
  /** Set before anything is taken down, so that a crash in between is finished at the next start. */
  removing: z.boolean(),
  spec: networkSpec,
});

export type NetworkRecord = z.infer<typeof recordSchema>;

const leasesSchema = z.record(z.string(), z.string());

/** 100.127.0.2 to 100.127.255.254; .0.1 is the router. */
const FIRST_LEASE = 2;
const LAST_LEASE = 0xfffe;

export class NetworkStore {
  readonly #folder: string;
  readonly #leaseFile: string;
  readonly #records = new Map<string, NetworkRecord>();
  readonly #leases = new Map<string, string>();
  #leaseWrite: Promise<void> = Promise.resolve();

  private constructor(root: string) {
    this.#folder = join(root, 'networks');
    this.#leaseFile = join(root, 'leases.json');
  }

  /** Reads everything below networkd's folder. Files that are none of ours in form come back as `damaged`. */
  static async open(root: string): Promise<{ store: NetworkStore; damaged: string[] }> {
    const store = new NetworkStore(root);
    await mkdir(store.#folder, { recursive: true, mode: 0o700 });
    const damaged: string[] = [];
    const files = (await readdir(store.#folder)).sort();
    const leases = Object.entries(leasesSchema.catch({}).parse(await readJson(store.#leaseFile)));
    // A crash between the two files leaves a lease of no network, which nobody would give back.
    const held = leases.filter(([netid]) => files.includes(`${netid}.json`));
    for (const [netid, lease] of held) store.#leases.set(netid, lease);
    if (held.length < leases.length) await store.#saveLeases();
    for (const file of files) {
      if (file.endsWith('.tmp')) await rm(join(store.#folder, file), { force: true });
      if (!file.endsWith('.json')) continue;
      const netid = file.slice(0, -'.json'.length);
      const parsed = recordSchema.safeParse(await readJson(join(store.#folder, file)).catch(() => undefined));
      if (!parsed.success || parsed.data.spec.netid !== netid || !isNetworkId(netid)) {
        damaged.push(file);
        continue;
      }
      store.#records.set(netid, parsed.data);
      store.#leases.set(netid, parsed.data.lease);
    }
    return { store, damaged };
  }

  get(netid: string): NetworkRecord | undefined {
    return this.#records.get(netid);
  }

  all(): NetworkRecord[] {
    return [...this.#records.values()];
  }

  findByWorkload(workload: string): NetworkRecord | undefined {
    return this.all().find((record) => record.workloads.includes(workload));
  }

  async put(record: NetworkRecord): Promise<void> {
    const path = join(this.#folder, `${record.spec.netid}.json`);
    await writeFileAtomic(path, `${JSON.stringify(record)}\n`, 0o600);
    this.#records.set(record.spec.netid, record);
  }

  async remove(netid: string): Promise<void> {
    await rm(join(this.#folder, `${netid}.json`), { force: true });
    this.#records.delete(netid);
    if (this.#leases.delete(netid)) await this.#saveLeases();
  }

  /** Networks that have an address on that link and no record. */
  get strayLeases(): string[] {
    return [...this.#leases.keys()].filter((netid) => !this.#records.has(netid));
  }

  /** Gives back the address of a network without a record. */
  async giveBack(netid: string): Promise<void> {
    if (!this.#records.has(netid) && this.#leases.delete(netid)) await this.#saveLeases();
  }

  /** The network's address on the link to the router; the lowest free one the first time, then always the same. */
  async lease(netid: string): Promise<string> {
    const held = this.#leases.get(netid);
    if (held !== undefined) return held;
    const taken = new Set(this.#leases.values());
    for (let number = FIRST_LEASE; number <= LAST_LEASE; number++) {
      const address = `100.127.${number >> 8}.${number & 0xff}`;
      if (taken.has(address)) continue;
      this.#leases.set(netid, address);
      await this.#saveLeases();
      return address;
    }
    throw new GridError('network_leases_exhausted', { total: LAST_LEASE - FIRST_LEASE + 1 });
  }

  #saveLeases(): Promise<void> {
    const write = this.#leaseWrite.then(() =>
      writeFileAtomic(this.#leaseFile, JSON.stringify(Object.fromEntries(this.#leases)), 0o600),
    );
    this.#leaseWrite = write.catch(() => undefined);
    return write;
  }
}

/** Who is who on a simulated node's chain: keys, twins, farm and node, made once. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ChainClient } from '../../gateway/chain/client.ts';
import { ensureOwnNode } from '../../gateway/chain/own-node.ts';
import { addressFromAccount } from '../../gateway/chain/ss58.ts';
import { type KeyFile, readKey, writeKeyFile } from '../../gateway/rmb/identity-source.ts';
import { Identity, type KeyType } from '../../gateway/rmb/keys.ts';
import { bip39Generate } from '../../gateway/rmb/wasm-crypto.ts';
import { readJson, writeFileAtomic } from '../../modules/host/files.ts';
import type { SimulatedMachineSize } from '../options.ts';

const WORDS = 12;

/** Tenants by name, with the type of their keys. The first is who `gridnode` itself acts as. */
const TENANTS = { user: 'sr25519', 'user-2': 'sr25519', 'user-3': 'ed25519' } as const satisfies Record<
  string,
  KeyType
>;

export interface Person {
  readonly name: string;
  readonly key: KeyFile;
  readonly identity: Identity;
}

const registration = z.object({
  farmId: z.int(),
  nodeId: z.int(),
  twins: z.record(z.string(), z.int()),
});

export type Registration = z.infer<typeof registration>;

export interface People {
  readonly node: Person;
  readonly farmer: Person;
  readonly tenants: readonly Person[];
}

/** Keys from the node's folder; those that are missing are made. Tenants and farmer have words, as clients ask for. */
export async function readPeople(state: string): Promise<People> {
  const folder = join(state, 'keys');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const person = async (name: string, make: () => KeyFile): Promise<Person> => {
    const path = join(folder, `${name}.json`);
    if (!existsSync(path)) await writeKeyFile(path, make());
    const key = await readKey({ 'key-file': path });
    return { name, key, identity: await Identity.fromSecret(key.secret, key.keyType) };
  };
  const withWords = (name: string, keyType: KeyType): Promise<Person> =>
    person(name, () => ({ keyType, secret: bip39Generate(WORDS) }));
  return {
    node: await person('node', () => ({ keyType: 'ed25519', secret: randomBytes(32).toString('hex') })),
    farmer: await withWords('farmer', 'sr25519'),
    tenants: await Promise.all(Object.entries(TENANTS).map(([name, keyType]) => withWords(name, keyType))),
  };
}

export interface RegisterOptions {
  readonly state: string;
  readonly relayDomain: string;
  readonly size: SimulatedMachineSize;
}

/** Funds everyone and makes twins, farm and node by transactions, once. `client` acts as the node. */
export async function register(people: People, client: ChainClient, options: RegisterOptions): Promise<Registration> {
  const place = join(options.state, 'development.json');
  const known = registration.safeParse(await readJson(place));
  if (known.success) return known.data;
  const { node, farmer, tenants } = people;
  const everyone = [node, farmer, ...tenants].map((person) => ({ person, acting: client.actingAs(person.identity) }));
  // One account funds them all, a transaction after the other.
  for (const { acting } of everyone) await acting.endow();
  const twins = await Promise.all(
    everyone.map(async ({ person, acting }) => {
      const { encryptionKey } = person.identity;
      return [person.name, await acting.ensureTwin({ relay: options.relayDomain, encryptionKey })] as const;
    }),
  );
  const { cru, mru, sru, hru } = options.size;
  const farmId = await client.actingAs(farmer.identity).createFarm('simulated');
  const { nodeId } = await ensureOwnNode(client, {
    farmId,
    resources: { cru: BigInt(cru), mru: BigInt(mru), sru: BigInt(sru), hru: BigInt(hru) },
    virtualized: true,
    serialNumber: 'simulated',
  });
  const made: Registration = { farmId, nodeId, twins: Object.fromEntries(twins) };
  await writeFileAtomic(place, `${JSON.stringify(made)}\n`, 0o600);
  return made;
}

export interface ClientFileOptions extends RegisterOptions {
  readonly chain: string;
  readonly relay: string;
  /** Where metrics and health are. */
  readonly http: string;
  /** Grid proxy; GraphQL is below it. */
  readonly web: string;
}

/** What anyone may know of a key: with the node's, a client needs no chain to read answers. */
function publicSide({ publicKey, encryptionKey }: Identity): object {
  return {
    public_key: Buffer.from(publicKey).toString('hex'),
    address: addressFromAccount(publicKey),
    encryption_key: Buffer.from(encryptionKey).toString('hex'),
  };
}

/** Writes `client.json`, mode 0600: everything a client needs, secrets included. */
export async function writeClientFile(
  people: People,
  { farmId, nodeId, twins }: Registration,
  options: ClientFileOptions,
): Promise<void> {
  const shown = ({ name, key, identity }: Person): object => {
    const isWords = key.secret.includes(' ');
    return {
      name,
      twin: twins[name],
      key_type: key.keyType,
      ...(isWords ? { mnemonic: key.secret } : { seed: key.secret }),
      ...publicSide(identity),
    };
  };
  const content = {
    simulated: true,
    chain: options.chain,
    relay: options.relay,
    relay_domain: options.relayDomain,
    http: options.http,
    web: options.web,
    node: {
      ...{ id: nodeId, twin: twins.node, farm: farmId },
      ...options.size,
      ...{ key_type: people.node.key.keyType, ...publicSide(people.node.identity) },
    },
    farmer: shown(people.farmer),
    tenants: people.tenants.map(shown),
    state: options.state,
  };
  await writeFileAtomic(join(options.state, 'client.json'), `${JSON.stringify(content, null, 2)}\n`, 0o600);
}

/** What the chain stores, as plain values. Unknown fields of newer runtimes are ignored. */
import { z } from 'zod';
import { parseRelayDomains } from '../rmb/twins.ts';
import { accountFromAddress } from './ss58.ts';

/** The decoder gives small integers as numbers, wide ones as hex. */
const integer = z
  .union([z.int().nonnegative(), z.string().regex(/^(0x[0-9a-f]+|\d+)$/)])
  .transform((value) => BigInt(value));
const hexBytes = z
  .string()
  .regex(/^0x([0-9a-f]{2})*$/)
  .transform((hex) => new Uint8Array(Buffer.from(hex.slice(2), 'hex')));
const utf8 = hexBytes.transform((bytes) => new TextDecoder().decode(bytes));
const account = z.string().transform((address) => accountFromAddress(address));
const id32 = z.int().nonnegative();

const twin = z
  .object({
    id: id32,
    accountId: account,
    relay: utf8.nullable(),
    entities: z.array(z.object({ entityId: id32, signature: utf8 })),
    pk: hexBytes.nullable(),
  })
  .transform(({ accountId, relay, pk, ...rest }) => ({
    ...rest,
    account: accountId,
    /** Relay domains, in no order. */
    relay: parseRelayDomains(relay ?? ''),
    /** As stored: domains joined by `_`, null when never set. */
    relayText: relay,
    /** SEC1 point, null where the twin has none. */
    encryptionKey: pk === null || pk.length === 0 ? null : pk,
    pk,
  }));
export type Twin = z.output<typeof twin>;

const publicIp = z.object({ ip: utf8, gateway: utf8, contractId: integer });

const farm = z.object({
  version: id32,
  id: id32,
  name: utf8,
  twinId: id32,
  pricingPolicyId: id32,
  certification: z.string(),
  publicIps: z.array(publicIp),
  dedicatedFarm: z.boolean(),
  farmingPolicyLimits: z.looseObject({ farmingPolicyId: id32, nodeCertification: z.boolean() }).nullable(),
});
export type Farm = z.output<typeof farm>;

const resources = z.object({ hru: integer, sru: integer, cru: integer, mru: integer });
/** Bytes, and cores in `cru`. */
export type Resources = z.output<typeof resources>;

const gatewayed = z.object({ ip: utf8, gw: utf8 });
const node = z.object({
  version: id32,
  id: id32,
  farmId: id32,
  twinId: id32,
  resources,
  location: z.object({ city: utf8, country: utf8, latitude: utf8, longitude: utf8 }),
  publicConfig: z.object({ ip4: gatewayed, ip6: gatewayed.nullable(), domain: utf8.nullable() }).nullable(),
  created: integer,
  farmingPolicyId: id32,
  interfaces: z.array(z.object({ name: utf8, mac: utf8, ips: z.array(utf8) })),
  certification: z.string(),
  secureBoot: z.boolean(),
  virtualized: z.boolean(),
  serialNumber: utf8.nullable(),
  connectionPrice: id32,
});
export type Node = z.output<typeof node>;

const contractState = z
  .union([z.object({ created: z.null() }), z.object({ deleted: z.string() }), z.object({ gracePeriod: integer })])
  .transform((state) => {
    if ('created' in state) return { kind: 'created' as const };
    if ('deleted' in state) return { kind: 'deleted' as const, cause: state.deleted };
    return { kind: 'grace' as const, sinceBlock: state.gracePeriod };
  });

const contractType = z
  .union([
    z.object({
      nodeContract: z.object({
        nodeId: id32,
        deploymentHash: hexBytes,
        deploymentData: utf8,
        publicIps: id32,
        publicIpsList: z.array(publicIp),
      }),
    }),
    z.object({ nameContract: z.object({ name: utf8 }) }),
    z.object({ rentContract: z.object({ nodeId: id32 }) }),
  ])
  .transform((type) => {
    if ('nodeContract' in type) return { kind: 'node' as const, ...type.nodeContract };
    if ('nameContract' in type) return { kind: 'name' as const, ...type.nameContract };
    return { kind: 'rent' as const, ...type.rentContract };
  });

const contract = z.object({
  version: id32,
  state: contractState,
  contractId: integer,
  twinId: id32,
  contractType,
  solutionProviderId: integer.nullable(),
});
export type Contract = z.output<typeof contract>;

const powerState = z
  .union([z.object({ up: z.null() }), z.object({ down: id32 })])
  .transform((state) => ('up' in state ? { kind: 'up' as const } : { kind: 'down' as const, sinceBlock: state.down }));
const nodePower = z.object({ state: powerState, target: z.string() });
export type NodePower = z.output<typeof nodePower>;

const accountInfo = z.object({
  nonce: id32,
  consumers: id32,
  providers: id32,
  sufficients: id32,
  /** uTFT: 10 000 000 are one TFT. */
  data: z.object({ free: integer, reserved: integer }),
});
export type Account = z.output<typeof accountInfo>;

/** What a node told of a contract's public traffic: `lastUpdated` is the newest report's timestamp, seconds. */
const trafficBill = z.object({ previousNuReported: integer, lastUpdated: integer, amountUnbilled: integer });
const usedResources = z.object({ contractId: integer, used: resources });

/** Parsers of what the decoder's `toJSON` gives, by what is stored. */
export const records = {
  twin,
  farm,
  node,
  contract,
  nodePower,
  accountInfo,
  trafficBill,
  usedResources,
  text: utf8,
  bytes: hexBytes,
  id: id32,
  anything: z.unknown(),
  integer,
} as const;

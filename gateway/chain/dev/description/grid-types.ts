/** Farms, nodes and twins as the chain stores them. */

import { bool, type ValueOf } from '../scale/codec.ts';
import { AccountId, boundedBytes, bytes, choice, option, struct, u8, u16, u32, u64, variant, vec } from './types.ts';

export const Resources = struct('tfchain_support::resources::Resources', { hru: u64, sru: u64, cru: u64, mru: u64 });

export const FarmCertification = choice('tfchain_support::types::FarmCertification', 'NotCertified', 'Gold');
export const NodeCertification = choice('tfchain_support::types::NodeCertification', 'Diy', 'Certified');

export const PublicIP = struct('tfchain_support::types::PublicIP', { ip: bytes, gateway: bytes, contract_id: u64 });

export const FarmingPolicyLimit = struct('tfchain_support::types::FarmingPolicyLimit', {
  farming_policy_id: u32,
  cu: option(u64),
  su: option(u64),
  end: option(u64),
  node_count: option(u32),
  node_certification: bool,
});

export const Farm = struct('tfchain_support::types::Farm', {
  version: u32,
  id: u32,
  name: bytes,
  twin_id: u32,
  pricing_policy_id: u32,
  certification: FarmCertification,
  public_ips: vec(PublicIP),
  dedicated_farm: bool,
  farming_policy_limits: option(FarmingPolicyLimit),
});

export const IP4 = struct('tfchain_support::types::IP4', { ip: bytes, gw: bytes });
const IP6 = struct('tfchain_support::types::IP6', { ip: bytes, gw: bytes });
export const PublicConfig = struct('tfchain_support::types::PublicConfig', {
  ip4: IP4,
  ip6: option(IP6),
  domain: option(bytes),
});

const Location = struct('pallet_tfgrid::node::Location', {
  city: bytes,
  country: bytes,
  latitude: bytes,
  longitude: bytes,
});
export const LocationInput = struct('pallet_tfgrid::types::LocationInput', {
  city: boundedBytes(58),
  country: boundedBytes(56),
  latitude: boundedBytes(50),
  longitude: boundedBytes(50),
});

export const Interface = struct('tfchain_support::types::Interface', { name: bytes, mac: bytes, ips: vec(bytes) });

export const Node = struct('tfchain_support::types::Node', {
  version: u32,
  id: u32,
  farm_id: u32,
  twin_id: u32,
  resources: Resources,
  location: Location,
  public_config: option(PublicConfig),
  created: u64,
  farming_policy_id: u32,
  interfaces: vec(Interface),
  certification: NodeCertification,
  secure_boot: bool,
  virtualized: bool,
  serial_number: option(bytes),
  connection_price: u32,
});

export const Power = choice('tfchain_support::types::Power', 'Up', 'Down');
export const PowerState = variant('tfchain_support::types::PowerState', { Up: [0], Down: [1, [u32]] });
export const NodePower = struct('tfchain_support::types::NodePower', { state: PowerState, target: Power });

const EntityProof = struct('pallet_tfgrid::types::EntityProof', { entity_id: u32, signature: bytes });
export const Twin = struct('pallet_tfgrid::types::Twin', {
  id: u32,
  account_id: AccountId,
  relay: option(bytes),
  entities: vec(EntityProof),
  pk: option(bytes),
});

export const TermsAndConditions = struct('pallet_tfgrid::terms_cond::TermsAndConditions', {
  account_id: AccountId,
  timestamp: u64,
  document_link: bytes,
  document_hash: bytes,
});

const Unit = choice('pallet_tfgrid::types::Unit', 'Bytes', 'Kilobytes', 'Megabytes', 'Gigabytes', 'Terrabytes');
const Policy = struct('pallet_tfgrid::types::Policy', { value: u32, unit: Unit });
export const PricingPolicy = struct('pallet_tfgrid::types::PricingPolicy', {
  version: u32,
  id: u32,
  name: bytes,
  su: Policy,
  cu: Policy,
  nu: Policy,
  ipu: Policy,
  unique_name: Policy,
  domain_name: Policy,
  foundation_account: AccountId,
  certified_sales_account: AccountId,
  discount_for_dedication_nodes: u8,
});

export const FarmingPolicy = struct('pallet_tfgrid::types::FarmingPolicy', {
  version: u32,
  id: u32,
  name: bytes,
  cu: u32,
  su: u32,
  nu: u32,
  ipv4: u32,
  minimal_uptime: u16,
  policy_created: u32,
  policy_end: u32,
  immutable: bool,
  default: bool,
  node_certification: NodeCertification,
  farm_certification: FarmCertification,
});

export type FarmValue = ValueOf<typeof Farm>;
export type NodeValue = ValueOf<typeof Node>;
export type PricingPolicyValue = ValueOf<typeof PricingPolicy>;

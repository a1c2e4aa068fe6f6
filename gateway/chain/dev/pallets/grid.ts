/** Twins and farms. */
import type { FarmValue } from '../description/grid-types.ts';
import { tfgrid } from '../description/tfgrid.ts';
import { type CallExecution, type Execution, ensure, type Handlers, refuse } from './context.ts';

const { storage } = tfgrid;
const FARM_VERSION = 4;
const BILLING_POLICY = 1;

/** The twin of an account; refuses where there is none. */
export function twinOf(context: CallExecution): number {
  const id = context.state.read(storage.TwinIdByAccountID, context.who);
  return id ?? refuse(tfgrid, 'TwinNotExists');
}

/** Raises one of the pallet's counters and gives the new number. */
export function nextId(context: Execution, item: typeof storage.TwinID): number {
  const id = context.state.read(item) + 1;
  context.state.write(item, [], id);
  return id;
}

/** As the real chain checks it: labels, the first of at least two characters. */
const LABELS = /^(?![^.](\.|$))[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

function checkRelay(relay: Uint8Array | null): void {
  if (relay === null) return;
  ensure(LABELS.test(new TextDecoder().decode(relay)), tfgrid, 'InvalidRelayAddress');
}

export function ownFarm(context: CallExecution, farmId: number, error: (typeof tfgrid)['errors'][number]): FarmValue {
  const twin = twinOf(context);
  const farm = context.state.read(storage.Farms, farmId) ?? refuse(tfgrid, 'FarmNotExists');
  ensure(farm.twin_id === twin, tfgrid, error);
  return farm;
}

const ADDRESS_TEXT = /^\d{1,3}(\.\d{1,3}){3}$/;

function isAddress(text: string): boolean {
  return ADDRESS_TEXT.test(text) && text.split('.').every((part) => Number(part) < 256);
}

function publicIp(ip: Uint8Array, gateway: Uint8Array): FarmValue['public_ips'][number] {
  const [address = '', prefix = '', ...rest] = new TextDecoder().decode(ip).split('/');
  const bits = Number(prefix);
  ensure(rest.length === 0 && isAddress(address) && /^\d+$/.test(prefix) && bits <= 32, tfgrid, 'InvalidPublicIP');
  ensure(isAddress(new TextDecoder().decode(gateway)), tfgrid, 'InvalidPublicIP');
  return { ip, gateway, contract_id: 0n };
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

function checkFarmName(context: CallExecution, name: Uint8Array, farmId = 0): void {
  ensure(name.length >= 3, tfgrid, 'FarmNameTooShort');
  ensure(/^[A-Za-z0-9_-]+$/.test(new TextDecoder().decode(name)), tfgrid, 'InvalidFarmName');
  const known = context.state.read(storage.FarmIdByName, name);
  ensure(known === 0 || known === farmId, tfgrid, 'FarmExists');
}

function storeFarm(context: CallExecution, farm: FarmValue): void {
  context.state.write(storage.Farms, [farm.id], farm);
  context.emit(tfgrid, 'FarmUpdated', [farm]);
}

export const twinAndFarmCalls: Handlers<typeof tfgrid> = {
  user_accept_tc: (context, { document_link, document_hash }) => {
    ensure(document_link.length > 0, tfgrid, 'DocumentLinkInputTooShort');
    ensure(document_hash.length > 0, tfgrid, 'DocumentHashInputTooShort');
    const accepted = context.state.read(storage.UsersTermsAndConditions, context.who) ?? [];
    const timestamp = BigInt(Math.floor(context.nowMs / 1000));
    accepted.push({ account_id: context.who, timestamp, document_link, document_hash });
    context.state.write(storage.UsersTermsAndConditions, [context.who], accepted);
  },

  create_twin: (context, { relay, pk }) => {
    const accepted = context.state.read(storage.UsersTermsAndConditions, context.who);
    ensure(accepted !== null, tfgrid, 'UserDidNotSignTermsAndConditions');
    ensure(context.state.read(storage.TwinIdByAccountID, context.who) === null, tfgrid, 'TwinWithPubkeyExists');
    checkRelay(relay);
    const id = nextId(context, storage.TwinID);
    const twin = { id, account_id: context.who, relay, entities: [], pk };
    context.state.write(storage.Twins, [id], twin);
    context.state.write(storage.TwinIdByAccountID, [context.who], id);
    context.emit(tfgrid, 'TwinStored', [twin]);
  },

  update_twin: (context, { relay, pk }) => {
    const id = twinOf(context);
    const twin = context.state.read(storage.Twins, id) ?? refuse(tfgrid, 'TwinNotExists');
    checkRelay(relay);
    const updated = { ...twin, relay, pk };
    context.state.write(storage.Twins, [id], updated);
    context.emit(tfgrid, 'TwinUpdated', [updated]);
  },

  bond_twin_account: (context, { twin_id }) => {
    const twin = context.state.read(storage.Twins, twin_id) ?? refuse(tfgrid, 'TwinNotExists');
    ensure(!same(twin.account_id, context.who), tfgrid, 'TwinCannotBoundToItself');
    context.state.write(storage.TwinBoundedAccountID, [twin_id], context.who);
    context.emit(tfgrid, 'TwinAccountBounded', [twin_id, context.who]);
  },

  create_farm: (context, { name, public_ips }) => {
    const twinId = twinOf(context);
    checkFarmName(context, name);
    const addresses = public_ips.map(({ ip, gw }) => publicIp(ip, gw));
    const distinct = new Set(addresses.map(({ ip }) => new TextDecoder().decode(ip)));
    ensure(distinct.size === addresses.length, tfgrid, 'IpExists');
    const id = nextId(context, storage.FarmID);
    const farm: FarmValue = {
      version: FARM_VERSION,
      id,
      name,
      twin_id: twinId,
      pricing_policy_id: BILLING_POLICY,
      certification: { kind: 'NotCertified' },
      public_ips: addresses,
      dedicated_farm: false,
      farming_policy_limits: null,
    };
    context.state.write(storage.Farms, [id], farm);
    context.state.write(storage.FarmIdByName, [name], id);
    context.emit(tfgrid, 'FarmStored', [farm]);
  },

  update_farm: (context, { farm_id, name }) => {
    const farm = ownFarm(context, farm_id, 'CannotUpdateFarmWrongTwin');
    checkFarmName(context, name, farm_id);
    context.state.remove(storage.FarmIdByName, farm.name);
    context.state.write(storage.FarmIdByName, [name], farm_id);
    storeFarm(context, { ...farm, name });
  },

  add_stellar_payout_v2address: (context, { farm_id, stellar_address }) => {
    ownFarm(context, farm_id, 'CannotUpdateFarmWrongTwin');
    context.state.write(storage.FarmPayoutV2AddressByFarmID, [farm_id], stellar_address);
    context.emit(tfgrid, 'FarmPayoutV2AddressRegistered', [farm_id, stellar_address]);
  },

  add_farm_ip: (context, { farm_id, ip, gw }) => {
    const farm = ownFarm(context, farm_id, 'CannotUpdateFarmWrongTwin');
    ensure(!farm.public_ips.some((known) => same(known.ip, ip)), tfgrid, 'IpExists');
    storeFarm(context, { ...farm, public_ips: [...farm.public_ips, publicIp(ip, gw)] });
  },

  remove_farm_ip: (context, { farm_id, ip }) => {
    const farm = ownFarm(context, farm_id, 'CannotUpdateFarmWrongTwin');
    const left = farm.public_ips.filter((known) => !(same(known.ip, ip) && known.contract_id === 0n));
    ensure(left.length < farm.public_ips.length, tfgrid, 'IpNotExists');
    storeFarm(context, { ...farm, public_ips: left });
  },
};

/** Nodes: registration, uptime, power, public configuration. */
import { contracts } from '../description/contracts.ts';
import type { NodeValue, PowerState } from '../description/grid-types.ts';
import type { CallArgs } from '../description/pallet.ts';
import { tfgrid } from '../description/tfgrid.ts';
import type { ValueOf } from '../scale/codec.ts';
import { type CallExecution, ensure, type Handlers, refuse } from './context.ts';
import { nextId, ownFarm, twinOf } from './grid.ts';

const { storage } = tfgrid;
const NODE_VERSION = 6;
/** Farming policy of nodes without a certificate in farms without limits. */
const DEFAULT_FARMING_POLICY = 1;
const HINT_DRIFT_SECONDS = 60n;

type NodeInput = Omit<CallArgs<typeof tfgrid, 'create_node'>, 'farm_id'>;

function checkInput({ resources, interfaces, location }: NodeInput): void {
  ensure(resources.hru + resources.sru > 0n, tfgrid, 'InvalidStorageInput');
  ensure(resources.cru > 0n, tfgrid, 'InvalidCRUInput');
  ensure(resources.mru > 0n, tfgrid, 'InvalidMRUInput');
  ensure(location.city.length > 0, tfgrid, 'CityNameTooShort');
  ensure(location.country.length > 1, tfgrid, 'CountryNameTooShort');
  ensure(interfaces.length <= 10, tfgrid, 'InvalidInterfaceName');
  for (const { name, mac, ips } of interfaces) {
    ensure(name.length >= 3, tfgrid, 'InterfaceNameTooShort');
    ensure(name.length <= 20, tfgrid, 'InterfaceNameTooLong');
    ensure(/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(new TextDecoder().decode(mac)), tfgrid, 'InvalidMacAddress');
    ensure(ips.length <= 10, tfgrid, 'InvalidInterfaceIP');
    for (const ip of ips) {
      ensure(ip.length >= 7, tfgrid, 'InterfaceIpTooShort');
      ensure(ip.length <= 42, tfgrid, 'InterfaceIpTooLong');
    }
  }
}

/** The node of the signer's twin. */
function ownNode(context: CallExecution): NodeValue {
  const twin = twinOf(context);
  const id = context.state.read(storage.NodeIdByTwinID, twin);
  return context.state.read(storage.Nodes, id) ?? refuse(tfgrid, 'NodeNotExists');
}

function moveToFarm(context: CallExecution, node: number, from: number, to: number): void {
  if (from === to) return;
  if (from !== 0) {
    const left = context.state.read(storage.NodesByFarmID, from).filter((id) => id !== node);
    context.state.write(storage.NodesByFarmID, [from], left);
  }
  context.state.write(storage.NodesByFarmID, [to], [...context.state.read(storage.NodesByFarmID, to), node]);
}

function reportUptime(context: CallExecution, uptime: bigint): void {
  const node = ownNode(context);
  context.emit(tfgrid, 'NodeUptimeReported', [node.id, BigInt(Math.floor(context.nowMs / 1000)), uptime]);
}

export const nodeCalls: Handlers<typeof tfgrid> = {
  create_node: (context, { farm_id, ...input }) => {
    const twinId = twinOf(context);
    ensure(context.state.read(storage.Farms, farm_id) !== null, tfgrid, 'FarmNotExists');
    ensure(context.state.read(storage.NodeIdByTwinID, twinId) === 0, tfgrid, 'NodeWithTwinIdExists');
    checkInput(input);
    const id = nextId(context, storage.NodeID);
    const node: NodeValue = {
      version: NODE_VERSION,
      id,
      farm_id,
      twin_id: twinId,
      ...input,
      public_config: null,
      created: BigInt(Math.floor(context.nowMs / 1000)),
      farming_policy_id: DEFAULT_FARMING_POLICY,
      certification: { kind: 'Diy' },
      connection_price: context.state.read(storage.ConnectionPrice),
    };
    context.state.write(storage.Nodes, [id], node);
    context.state.write(storage.NodeIdByTwinID, [twinId], id);
    moveToFarm(context, id, 0, farm_id);
    context.emit(tfgrid, 'NodeStored', [node]);
  },

  update_node: (context, { node_id, farm_id, ...input }) => {
    const twinId = twinOf(context);
    const node = context.state.read(storage.Nodes, node_id) ?? refuse(tfgrid, 'NodeNotExists');
    ensure(node.twin_id === twinId, tfgrid, 'NodeUpdateNotAuthorized');
    ensure(context.state.read(storage.Farms, farm_id) !== null, tfgrid, 'FarmNotExists');
    checkInput(input);
    const updated = { ...node, farm_id, ...input };
    context.state.write(storage.Nodes, [node_id], updated);
    moveToFarm(context, node_id, node.farm_id, farm_id);
    context.emit(tfgrid, 'NodeUpdated', [updated]);
  },

  delete_node_farm: (context, { node_id }) => {
    const node = context.state.read(storage.Nodes, node_id) ?? refuse(tfgrid, 'NodeNotExists');
    ownFarm(context, node.farm_id, 'FarmerNotAuthorized');
    const active = context.state.read(contracts.storage.ActiveNodeContracts, node_id);
    ensure(active.length === 0, tfgrid, 'NodeHasActiveContracts');
    const left = context.state.read(storage.NodesByFarmID, node.farm_id).filter((id) => id !== node_id);
    context.state.write(storage.NodesByFarmID, [node.farm_id], left);
    context.state.remove(storage.Nodes, node_id);
    context.state.remove(storage.NodeIdByTwinID, node.twin_id);
    context.emit(tfgrid, 'NodeDeleted', [node_id]);
  },

  add_node_public_config: (context, { farm_id, node_id, public_config }) => {
    ownFarm(context, farm_id, 'CannotUpdateFarmWrongTwin');
    const node = context.state.read(storage.Nodes, node_id) ?? refuse(tfgrid, 'NodeNotExists');
    ensure(node.farm_id === farm_id, tfgrid, 'FarmerNotAuthorized');
    if (public_config !== null) {
      const { ip4 } = public_config;
      ensure(ip4.ip.length >= 9 && ip4.gw.length >= 7, tfgrid, 'InvalidPublicConfig');
    }
    context.state.write(storage.Nodes, [node_id], { ...node, public_config });
    context.emit(tfgrid, 'NodePublicConfigStored', [node_id, public_config]);
  },

  report_uptime: (context, { uptime }) => reportUptime(context, uptime),

  report_uptime_v2: (context, { uptime, timestamp_hint }) => {
    const now = BigInt(Math.floor(context.nowMs / 1000));
    const drift = now > timestamp_hint ? now - timestamp_hint : timestamp_hint - now;
    ensure(drift <= HINT_DRIFT_SECONDS, tfgrid, 'InvalidTimestampHint');
    reportUptime(context, uptime);
  },

  change_power_state: (context, { power_state }) => {
    const node = ownNode(context);
    const power = context.state.read(storage.NodePower, node.id);
    const state: ValueOf<typeof PowerState> =
      power_state.kind === 'Up' ? { kind: 'Up' } : { kind: 'Down', value: [context.block] };
    context.state.write(storage.NodePower, [node.id], { ...power, state });
    context.emit(tfgrid, 'PowerStateChanged', { farm_id: node.farm_id, node_id: node.id, power_state: state });
  },

  change_power_target: (context, { node_id, power_target }) => {
    const twin = twinOf(context);
    const node = context.state.read(storage.Nodes, node_id) ?? refuse(tfgrid, 'NodeNotExists');
    const farm = context.state.read(storage.Farms, node.farm_id) ?? refuse(tfgrid, 'FarmNotExists');
    ensure(farm.twin_id === twin, tfgrid, 'UnauthorizedToChangePowerTarget');
    if (power_target.kind === 'Down') {
      const active = context.state.read(contracts.storage.ActiveNodeContracts, node_id);
      ensure(active.length === 0, tfgrid, 'NodeHasActiveContracts');
    }
    const power = context.state.read(storage.NodePower, node_id);
    context.state.write(storage.NodePower, [node_id], { ...power, target: power_target });
    context.emit(tfgrid, 'PowerTargetChanged', { farm_id: node.farm_id, node_id, power_target });
  },
};

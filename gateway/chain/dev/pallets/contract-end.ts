/** What is left behind when a contract ends: freed addresses, an event, and nothing else. */
import { type ContractValue, contracts } from '../description/contracts.ts';
import { tfgrid } from '../description/tfgrid.ts';
import type { Execution } from './context.ts';

const { storage } = contracts;

function freeAddresses(context: Execution, nodeId: number, contractId: bigint): void {
  const farmId = context.state.read(tfgrid.storage.Nodes, nodeId)?.farm_id ?? 0;
  const farm = context.state.read(tfgrid.storage.Farms, farmId);
  const freed = farm?.public_ips.filter((ip) => ip.contract_id === contractId) ?? [];
  if (farm === null || freed.length === 0) return;
  const public_ips = farm.public_ips.map((ip) => (ip.contract_id === contractId ? { ...ip, contract_id: 0n } : ip));
  context.state.write(tfgrid.storage.Farms, [farmId], { ...farm, public_ips });
  context.emit(contracts, 'IPsFreed', { contract_id: contractId, public_ips: freed });
}

export function removeContract(context: Execution, contract: ContractValue): void {
  const { contract_id: id, twin_id, contract_type: type } = contract;
  if (type.kind === 'NodeContract') {
    const { node_id, deployment_hash } = type.value[0];
    freeAddresses(context, node_id, id);
    const active = context.state.read(storage.ActiveNodeContracts, node_id).filter((one) => one !== id);
    context.state.write(storage.ActiveNodeContracts, [node_id], active);
    context.state.remove(storage.ContractIDByNodeIDAndHash, node_id, deployment_hash);
    context.state.remove(storage.NodeContractResources, id);
    context.state.remove(storage.ContractBillingInformationByID, id);
    context.emit(contracts, 'NodeContractCanceled', { contract_id: id, node_id, twin_id });
  } else if (type.kind === 'NameContract') {
    context.state.remove(storage.ContractIDByNameRegistration, type.value[0].name);
    context.emit(contracts, 'NameContractCanceled', { contract_id: id });
  } else {
    context.state.remove(storage.ActiveRentContractForNode, type.value[0].node_id);
    context.emit(contracts, 'RentContractCanceled', { contract_id: id });
  }
  context.state.remove(storage.ContractPaymentState, id);
  context.state.remove(storage.Contracts, id);
}

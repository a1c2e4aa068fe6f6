/** Node, name and rent contracts: who may make them, what they reserve, how they end. */
import { type ContractValue, contracts } from '../description/contracts.ts';
import type { FarmValue, NodeValue } from '../description/grid-types.ts';
import { tfgrid } from '../description/tfgrid.ts';
import { billAndEnd, hasAccount } from './billing.ts';
import { type CallExecution, type Execution, ensure, type Handlers, refuse } from './context.ts';
import { removeContract } from './contract-end.ts';
import { trafficCost } from './cost.ts';
import { findContract } from './grace.ts';

const { storage } = contracts;
const CONTRACT_VERSION = 4;
const MAX_PUBLIC_IPS = 512;

function signerTwin(context: CallExecution): number {
  return context.state.read(tfgrid.storage.TwinIdByAccountID, context.who) ?? refuse(contracts, 'TwinNotExists');
}

function findNode(context: Execution, id: number): NodeValue {
  return context.state.read(tfgrid.storage.Nodes, id) ?? refuse(contracts, 'NodeNotExists');
}

function findFarm(context: Execution, id: number): FarmValue {
  return context.state.read(tfgrid.storage.Farms, id) ?? refuse(contracts, 'FarmNotExists');
}

function checkSolutionProvider(context: Execution, id: bigint | null): void {
  if (id === null) return;
  const provider = context.state.read(storage.SolutionProviders, id) ?? refuse(contracts, 'NoSuchSolutionProvider');
  ensure(provider.approved, contracts, 'SolutionProviderNotApproved');
}

function newContract(
  context: Execution,
  twinId: number,
  type: (id: bigint) => ContractValue['contract_type'],
  solutionProvider: bigint | null,
): ContractValue {
  const id = context.state.read(storage.ContractID) + 1n;
  context.state.write(storage.ContractID, [], id);
  const contract: ContractValue = {
    version: CONTRACT_VERSION,
    state: { kind: 'Created' },
    contract_id: id,
    twin_id: twinId,
    contract_type: type(id),
    solution_provider_id: solutionProvider,
  };
  context.state.write(storage.Contracts, [id], contract);
  const now = BigInt(Math.floor(context.nowMs / 1000));
  const payment = { standard_reserve: 0n, additional_reserve: 0n, standard_overdraft: 0n, additional_overdraft: 0n };
  context.state.write(storage.ContractPaymentState, [id], { ...payment, last_updated_seconds: now, cycles: 0 });
  return contract;
}

/** Takes `count` free addresses of a farm for a contract. */
function reserveAddresses(
  context: Execution,
  farmId: number,
  contractId: bigint,
  count: number,
): FarmValue['public_ips'] {
  if (count === 0) return [];
  const farm = findFarm(context, farmId);
  ensure(farm.public_ips.length >= count, contracts, 'FarmHasNotEnoughPublicIPs');
  const free = farm.public_ips.filter((ip) => ip.contract_id === 0n).slice(0, count);
  ensure(free.length === count, contracts, 'FarmHasNotEnoughPublicIPsFree');
  const reserved = free.map((ip) => ({ ...ip, contract_id: contractId }));
  const public_ips = farm.public_ips.map((ip) => reserved[free.indexOf(ip)] ?? ip);
  context.state.write(tfgrid.storage.Farms, [farmId], { ...farm, public_ips });
  return reserved;
}

/** A node takes contracts only while it is up, for who rents it, or for all when nobody must rent it. */
function checkNodeTakes(context: Execution, node: NodeValue, twinId: number): void {
  const power = context.state.read(tfgrid.storage.NodePower, node.id);
  ensure(power.target.kind === 'Up' && power.state.kind === 'Up', contracts, 'NodeNotAvailableToDeploy');
  const rentId = context.state.read(storage.ActiveRentContractForNode, node.id);
  if (rentId !== null) {
    ensure(findContract(context, rentId).twin_id === twinId, contracts, 'NodeHasRentContract');
  } else {
    const fee = context.state.read(storage.DedicatedNodesExtraFee, node.id);
    const dedicated = fee > 0n || findFarm(context, node.farm_id).dedicated_farm;
    ensure(!dedicated, contracts, 'NodeNotAvailableToDeploy');
  }
}

function checkUnique(context: Execution, nodeId: number, hash: Uint8Array): void {
  const other = context.state.read(storage.ContractIDByNodeIDAndHash, nodeId, hash);
  if (other === 0n) return;
  const state = context.state.read(storage.Contracts, other)?.state.kind ?? 'Deleted';
  ensure(state === 'Deleted', contracts, 'ContractIsNotUnique');
}

/** Ends a contract: bill, addresses, event, then nothing of it is left. */
function endContract(context: Execution, contract: ContractValue): void {
  const { contract_id: id } = contract;
  if (hasAccount(context, id)) {
    billAndEnd(context, contract, 'CanceledByUser');
    return;
  }
  const timestamp = BigInt(Math.floor(context.nowMs / 1000));
  const bill = { contract_id: id, timestamp, discount_level: { kind: 'None' }, amount_billed: 0n } as const;
  context.emit(contracts, 'ContractBilled', [bill]);
  removeContract(context, contract);
}

/** The node that the signer runs; refuses with `error` when it runs none. */
function reportingNode(context: CallExecution, error: (typeof contracts)['errors'][number]): number {
  const node = context.state.read(tfgrid.storage.NodeIdByTwinID, signerTwin(context));
  ensure(node !== 0, contracts, error);
  return node;
}

/** One report that is refused takes its whole call along. */
function ensureTaken(context: Execution, id: bigint, error: (typeof contracts)['errors'][number]): void {
  ensure(!context.billing.refusedReports.includes(Number(id)), contracts, error);
}

/** Whether a node contract of that id is on that node. */
function isOnNode(context: Execution, id: bigint, node: number): boolean {
  const type = context.state.read(storage.Contracts, id)?.contract_type;
  return type?.kind === 'NodeContract' && type.value[0].node_id === node;
}

export const contractCalls: Handlers<typeof contracts> = {
  create_node_contract: (context, { node_id, deployment_hash, deployment_data, public_ips, solution_provider_id }) => {
    const twinId = signerTwin(context);
    const node = findNode(context, node_id);
    checkNodeTakes(context, node, twinId);
    checkSolutionProvider(context, solution_provider_id);
    ensure(public_ips <= MAX_PUBLIC_IPS, contracts, 'FarmHasNotEnoughPublicIPs');
    checkUnique(context, node_id, deployment_hash);
    const contract = newContract(
      context,
      twinId,
      (id) => {
        const public_ips_list = reserveAddresses(context, node.farm_id, id, public_ips);
        return {
          kind: 'NodeContract',
          value: [{ node_id, deployment_hash, deployment_data, public_ips, public_ips_list }],
        };
      },
      solution_provider_id,
    );
    const id = contract.contract_id;
    context.state.write(storage.ContractIDByNodeIDAndHash, [node_id, deployment_hash], id);
    const active = context.state.read(storage.ActiveNodeContracts, node_id);
    context.state.write(storage.ActiveNodeContracts, [node_id], [...active, id]);
    const last_updated = BigInt(Math.floor(context.nowMs / 1000));
    const billing = { previous_nu_reported: 0n, last_updated, amount_unbilled: 0n };
    context.state.write(storage.ContractBillingInformationByID, [id], billing);
    context.emit(contracts, 'ContractCreated', [contract]);
  },

  update_node_contract: (context, { contract_id, deployment_hash, deployment_data }) => {
    const contract = findContract(context, contract_id);
    const type = contract.contract_type;
    ensure(contract.twin_id === signerTwin(context), contracts, 'TwinNotAuthorizedToUpdateContract');
    ensure(contract.state.kind === 'Created', contracts, 'CannotUpdateContractInGraceState');
    if (type.kind !== 'NodeContract') return refuse(contracts, 'InvalidContractType');
    const [node] = type.value;
    if (Buffer.compare(node.deployment_hash, deployment_hash) !== 0) {
      checkUnique(context, node.node_id, deployment_hash);
      context.state.remove(storage.ContractIDByNodeIDAndHash, node.node_id, node.deployment_hash);
      context.state.write(storage.ContractIDByNodeIDAndHash, [node.node_id, deployment_hash], contract_id);
    }
    const updated: ContractValue = {
      ...contract,
      contract_type: { kind: 'NodeContract', value: [{ ...node, deployment_hash, deployment_data }] },
    };
    context.state.write(storage.Contracts, [contract_id], updated);
    context.emit(contracts, 'ContractUpdated', [updated]);
  },

  cancel_contract: (context, { contract_id }) => {
    const contract = findContract(context, contract_id);
    ensure(contract.twin_id === signerTwin(context), contracts, 'TwinNotAuthorizedToCancelContract');
    if (contract.contract_type.kind === 'RentContract') {
      const active = context.state.read(storage.ActiveNodeContracts, contract.contract_type.value[0].node_id);
      ensure(active.length === 0, contracts, 'NodeHasActiveContracts');
    }
    endContract(context, contract);
  },

  create_name_contract: (context, { name }) => {
    const twinId = signerTwin(context);
    ensure(name.length >= 3, contracts, 'NameContractNameTooShort');
    ensure(name.length <= 64, contracts, 'NameContractNameTooLong');
    ensure(/^[a-z0-9_-]+$/.test(new TextDecoder().decode(name)), contracts, 'NameNotValid');
    ensure(context.state.read(storage.ContractIDByNameRegistration, name) === 0n, contracts, 'NameExists');
    const contract = newContract(context, twinId, () => ({ kind: 'NameContract', value: [{ name }] }), null);
    context.state.write(storage.ContractIDByNameRegistration, [name], contract.contract_id);
    context.emit(contracts, 'ContractCreated', [contract]);
  },

  create_rent_contract: (context, { node_id, solution_provider_id }) => {
    const twinId = signerTwin(context);
    const node = findNode(context, node_id);
    ensure(context.state.read(storage.ActiveRentContractForNode, node_id) === null, contracts, 'NodeHasRentContract');
    checkSolutionProvider(context, solution_provider_id);
    const active = context.state.read(storage.ActiveNodeContracts, node_id);
    const dedicated = findFarm(context, node.farm_id).dedicated_farm;
    ensure(dedicated || active.length === 0, contracts, 'NodeNotAvailableToDeploy');
    const type = (): ContractValue['contract_type'] => ({ kind: 'RentContract', value: [{ node_id }] });
    const contract = newContract(context, twinId, type, solution_provider_id);
    context.state.write(storage.ActiveRentContractForNode, [node_id], contract.contract_id);
    context.emit(contracts, 'ContractCreated', [contract]);
  },

  /** Milli-USD; a node with such a fee is for who rents it alone. */
  set_dedicated_node_extra_fee: (context, { node_id, extra_fee }) => {
    const twinId = signerTwin(context);
    const farm = findFarm(context, findNode(context, node_id).farm_id);
    ensure(farm.twin_id === twinId, contracts, 'UnauthorizedToSetExtraFee');
    const rented = context.state.read(storage.ActiveRentContractForNode, node_id) !== null;
    const used = context.state.read(storage.ActiveNodeContracts, node_id).length > 0;
    ensure(!rented && !used, contracts, 'NodeHasActiveContracts');
    context.state.write(storage.DedicatedNodesExtraFee, [node_id], extra_fee);
    context.emit(contracts, 'NodeExtraFeeSet', { node_id, extra_fee });
  },

  add_nru_reports: (context, { reports }) => {
    const node = reportingNode(context, 'NodeNotAuthorizedToComputeReport');
    const policy = context.state.read(tfgrid.storage.PricingPolicies, 1);
    for (const report of reports) {
      ensureTaken(context, report.contract_id, 'NodeNotAuthorizedToComputeReport');
      if (!isOnNode(context, report.contract_id, node)) continue;
      const cost = policy === null ? 0 : trafficCost(policy, report.nru);
      const billing = context.state.read(storage.ContractBillingInformationByID, report.contract_id);
      context.emit(contracts, 'NruConsumptionReportReceived', [report]);
      // Passed over without a word; one of the very same time counts again.
      if (report.timestamp < billing.last_updated) continue;
      context.state.write(storage.ContractBillingInformationByID, [report.contract_id], {
        ...billing,
        previous_nu_reported: report.nru,
        last_updated: report.timestamp,
        amount_unbilled: billing.amount_unbilled + BigInt(cost),
      });
    }
  },

  report_contract_resources: (context, { contract_resources }) => {
    const node = reportingNode(context, 'NodeNotAuthorizedToReportResources');
    for (const resources of contract_resources) {
      ensureTaken(context, resources.contract_id, 'NodeNotAuthorizedToReportResources');
      if (!isOnNode(context, resources.contract_id, node)) continue;
      context.state.write(storage.NodeContractResources, [resources.contract_id], resources);
      context.emit(contracts, 'UpdatedUsedResources', [resources]);
    }
  },
};

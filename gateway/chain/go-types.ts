/** The chain's records in the shape of the Go structs that cross the bus. */
import type {
  AccountInfo as AccountInfoType,
  Contract as ContractType,
  Farm as FarmType,
  NodePower as NodePowerType,
  Node as NodeType,
  Twin as TwinType,
} from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { NodeInput } from './client.ts';
import type { Account, Contract, Farm, Node, NodePower, Twin } from './records.ts';

export type GoContract = Infer<typeof ContractType>;
export type GoNode = Infer<typeof NodeType>;

/** Go's zero value stands where an option holds nothing. */
function option<T>(value: T | null, zero: T): { HasValue: boolean; AsValue: T } {
  return { HasValue: value !== null, AsValue: value ?? zero };
}

const noAddress = { IP: '', GW: '' };

export function goTwin(twin: Twin): Infer<typeof TwinType> {
  return {
    ID: twin.id,
    Account: twin.account,
    Relay: option(twin.relayText, ''),
    Entities: twin.entities.map(({ entityId, signature }) => ({ EntityID: entityId, Signature: signature })),
    Pk: {},
  };
}

export function goFarm(farm: Farm): Infer<typeof FarmType> {
  return {
    Version: farm.version,
    ID: farm.id,
    Name: farm.name,
    TwinID: farm.twinId,
    PricingPolicyID: farm.pricingPolicyId,
    CertificationType: { IsNotCertified: farm.certification !== 'Gold', IsGold: farm.certification === 'Gold' },
    PublicIPs: farm.publicIps.map(({ ip, gateway, contractId }) => ({
      IP: ip,
      Gateway: gateway,
      ContractID: contractId,
    })),
    DedicatedFarm: farm.dedicatedFarm,
    FarmingPoliciesLimit: {
      HasValue: farm.farmingPolicyLimits !== null,
      AsValue: {
        FarmingPolicyID: farm.farmingPolicyLimits?.farmingPolicyId ?? 0,
        Cu: {},
        Su: {},
        End: {},
        NodeCount: {},
        NodeCertification: farm.farmingPolicyLimits?.nodeCertification ?? false,
      },
    },
  };
}

export function goNode(node: Node): GoNode {
  const { publicConfig } = node;
  const address = (at: { ip: string; gw: string }): { IP: string; GW: string } => ({ IP: at.ip, GW: at.gw });
  const ip6 = publicConfig?.ip6 ?? null;
  return {
    Version: node.version,
    ID: node.id,
    FarmID: node.farmId,
    TwinID: node.twinId,
    Resources: { HRU: node.resources.hru, SRU: node.resources.sru, CRU: node.resources.cru, MRU: node.resources.mru },
    Location: {
      City: node.location.city,
      Country: node.location.country,
      Latitude: node.location.latitude,
      Longitude: node.location.longitude,
    },
    PublicConfig: {
      HasValue: publicConfig !== null,
      AsValue: {
        IP4: publicConfig === null ? noAddress : address(publicConfig.ip4),
        IP6: option(ip6 === null ? null : address(ip6), noAddress),
        Domain: option(publicConfig?.domain ?? null, ''),
      },
    },
    Created: node.created,
    FarmingPolicy: node.farmingPolicyId,
    Interfaces: node.interfaces.map(({ name, mac, ips }) => ({ Name: name, Mac: mac, IPs: ips })),
    Certification: { IsDiy: node.certification !== 'Certified', IsCertified: node.certification === 'Certified' },
    SecureBoot: node.secureBoot,
    Virtualized: node.virtualized,
    BoardSerial: option(node.serialNumber, ''),
    ConnectionPrice: node.connectionPrice,
  };
}

/** What of a Go node record a registration sends. */
export function nodeInput(node: GoNode): NodeInput {
  return {
    farmId: node.FarmID,
    resources: { hru: node.Resources.HRU, sru: node.Resources.SRU, cru: node.Resources.CRU, mru: node.Resources.MRU },
    location: {
      city: node.Location.City,
      country: node.Location.Country,
      latitude: node.Location.Latitude,
      longitude: node.Location.Longitude,
    },
    interfaces: node.Interfaces.map(({ Name, Mac, IPs }) => ({ name: Name, mac: Mac, ips: IPs })),
    secureBoot: node.SecureBoot,
    virtualized: node.Virtualized,
    serialNumber: node.BoardSerial.HasValue ? node.BoardSerial.AsValue : null,
  };
}

export function goPower({ state, target }: NodePower): Infer<typeof NodePowerType> {
  return {
    State: {
      IsUp: state.kind === 'up',
      IsDown: state.kind === 'down',
      AsDownBlockNumber: state.kind === 'down' ? state.sinceBlock : 0,
    },
    Target: { IsUp: target === 'Up', IsDown: target === 'Down' },
  };
}

/** Balances do not cross the bus: the Go type has no exported fields. */
export function goAccount(account: Account): Infer<typeof AccountInfoType> {
  return {
    Nonce: account.nonce,
    Consumers: account.consumers,
    Providers: account.providers,
    Sufficients: account.sufficients,
    Data: { Free: {}, Reserved: {}, MiscFrozen: {}, FreeFrozen: {} },
  };
}

const noContractType: GoContract['ContractType'] = {
  IsNodeContract: false,
  NodeContract: { Node: 0, DeploymentHash: new Uint8Array(32), DeploymentData: '', PublicIPsCount: 0, PublicIPs: [] },
  IsNameContract: false,
  NameContract: { Name: '' },
  IsRentContract: false,
  RentContract: { Node: 0 },
};

/** What Go holds where it got an error instead of a contract. */
export const emptyContract: GoContract = {
  Version: 0,
  State: {
    IsCreated: false,
    IsDeleted: false,
    AsDeleted: { IsCanceledByUser: false, IsOutOfFunds: false, IsCanceledByCollective: false },
    IsGracePeriod: false,
    AsGracePeriodBlockNumber: 0n,
  },
  ContractID: 0n,
  TwinID: 0,
  ContractType: noContractType,
  SolutionProviderID: {},
};

function goContractType(type: Contract['contractType']): GoContract['ContractType'] {
  if (type.kind === 'name') return { ...noContractType, IsNameContract: true, NameContract: { Name: type.name } };
  if (type.kind === 'rent') return { ...noContractType, IsRentContract: true, RentContract: { Node: type.nodeId } };
  return {
    ...noContractType,
    IsNodeContract: true,
    NodeContract: {
      Node: type.nodeId,
      DeploymentHash: type.deploymentHash,
      DeploymentData: type.deploymentData,
      PublicIPsCount: type.publicIps,
      PublicIPs: type.publicIpsList.map((ip) => ({ IP: ip.ip, Gateway: ip.gateway, ContractID: ip.contractId })),
    },
  };
}

export function goContract(contract: Contract): GoContract {
  const { state } = contract;
  const cause = state.kind === 'deleted' ? state.cause : '';
  return {
    Version: contract.version,
    State: {
      IsCreated: state.kind === 'created',
      IsDeleted: state.kind === 'deleted',
      AsDeleted: {
        IsCanceledByUser: cause === 'CanceledByUser',
        IsOutOfFunds: cause === 'OutOfFunds',
        IsCanceledByCollective: cause === 'CanceledByCollective',
      },
      IsGracePeriod: state.kind === 'grace',
      AsGracePeriodBlockNumber: state.kind === 'grace' ? state.sinceBlock : 0n,
    },
    ContractID: contract.contractId,
    TwinID: contract.twinId,
    ContractType: goContractType(contract.contractType),
    SolutionProviderID: {},
  };
}

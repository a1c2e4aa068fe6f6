/** Every command of the node by name. */
import { capacityGet } from './capacity.ts';
import type { Command } from './command.ts';
import {
  debugDeploymentGet,
  debugDeploymentHealth,
  debugDeploymentHistory,
  debugDeploymentInfo,
  debugDeploymentList,
} from './debug.ts';
import {
  deploymentChanges,
  deploymentDelete,
  deploymentDeploy,
  deploymentGet,
  deploymentList,
  deploymentPlan,
  deploymentUpdate,
  deploymentWait,
} from './deployment.ts';
import { apiDescribe } from './describe.ts';
import { limitsGet } from './limits.ts';
import {
  adminGetPublicNic,
  adminInterfaces,
  adminSetPublicNic,
  networkHasIpv6,
  networkInterfaces,
  networkPrivateIps,
  networkPublicConfig,
  networkPublicIps,
  networkWireguardPorts,
} from './network.ts';
import { deploymentOperations } from './operations.ts';
import { perfGet, perfGetAll } from './performance.ts';
import { statisticsGet } from './statistics.ts';
import { storagePools } from './storage.ts';
import {
  gpuList,
  locationGet,
  systemDiagnostics,
  systemDmi,
  systemHypervisor,
  systemNodeFeatures,
  systemVersion,
} from './system.ts';

export * from './capacity.ts';
export * from './command.ts';
export * from './debug.ts';
export * from './deployment.ts';
export * from './describe.ts';
export * from './limits.ts';
export * from './network.ts';
export * from './operations.ts';
export * from './performance.ts';
export * from './statistics.ts';
export * from './storage.ts';
export * from './system.ts';

export const commands = [
  deploymentDeploy,
  deploymentUpdate,
  deploymentDelete,
  deploymentGet,
  deploymentList,
  deploymentChanges,
  deploymentPlan,
  deploymentWait,
  deploymentOperations,
  statisticsGet,
  capacityGet,
  storagePools,
  networkInterfaces,
  networkWireguardPorts,
  networkPublicConfig,
  networkHasIpv6,
  networkPublicIps,
  networkPrivateIps,
  systemVersion,
  systemDmi,
  systemHypervisor,
  systemDiagnostics,
  systemNodeFeatures,
  gpuList,
  perfGet,
  perfGetAll,
  locationGet,
  adminInterfaces,
  adminGetPublicNic,
  adminSetPublicNic,
  debugDeploymentList,
  debugDeploymentGet,
  debugDeploymentHistory,
  debugDeploymentInfo,
  debugDeploymentHealth,
  limitsGet,
  apiDescribe,
] as const;

const byName = new Map<string, Command>(
  (commands as readonly Command[]).flatMap((command) =>
    [command.name, ...(command.aliases ?? [])].map((name) => [name, command] as const),
  ),
);

/** The command of that name or alias, if the node has it. */
export function findCommand(name: string): Command | undefined {
  return byName.get(name);
}

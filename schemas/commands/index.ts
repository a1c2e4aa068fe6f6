/** Every command of the node by name. */
import { capacityGet } from './capacity.ts';
import type { Command } from './command.ts';
import { deploymentChanges, deploymentDeploy, deploymentGet, deploymentList } from './deployment.ts';
import { limitsGet } from './limits.ts';
import { networkInterfaces, networkWireguardPorts } from './network.ts';
import { statisticsGet } from './statistics.ts';
import { storagePools } from './storage.ts';
import { systemHypervisor, systemNodeFeatures, systemVersion } from './system.ts';

export * from './capacity.ts';
export * from './command.ts';
export * from './deployment.ts';
export * from './limits.ts';
export * from './network.ts';
export * from './statistics.ts';
export * from './storage.ts';
export * from './system.ts';

export const commands = [
  deploymentDeploy,
  deploymentGet,
  deploymentList,
  deploymentChanges,
  statisticsGet,
  storagePools,
  networkInterfaces,
  networkWireguardPorts,
  systemVersion,
  systemHypervisor,
  systemNodeFeatures,
  capacityGet,
  limitsGet,
] as const;

const byName = new Map<string, Command>(commands.map((command) => [command.name, command as Command]));

/** The command of that name, if the node has it. */
export function findCommand(name: string): Command | undefined {
  return byName.get(name);
}

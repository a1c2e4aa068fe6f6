/** Every command the gateway answers. */
import { adminHandlers } from './admin.ts';
import { capacityHandlers } from './capacity.ts';
import { debugHandlers } from './debug.ts';
import { deploymentHandlers } from './deployment.ts';
import { describeHandlers } from './describe.ts';
import { diagnosticsHandlers } from './diagnostics.ts';
import { gpuHandlers } from './gpu.ts';
import type { Handler } from './handler.ts';
import { limitsHandlers } from './limits.ts';
import { locationHandlers } from './location.ts';
import { networkHandlers } from './network.ts';
import { operationHandlers } from './operations.ts';
import { perfHandlers } from './perf.ts';
import { planHandlers } from './plan.ts';
import { groupOf } from './roles.ts';
import { storageHandlers } from './storage.ts';
import { systemHandlers } from './system.ts';

/** By name and by every other spelling. */
export const handlers: ReadonlyMap<string, Handler> = new Map(
  [
    ...deploymentHandlers,
    ...planHandlers,
    ...operationHandlers,
    ...capacityHandlers,
    ...limitsHandlers,
    ...networkHandlers,
    ...adminHandlers,
    ...storageHandlers,
    ...systemHandlers,
    ...diagnosticsHandlers,
    ...gpuHandlers,
    ...locationHandlers,
    ...perfHandlers,
    ...debugHandlers,
    ...describeHandlers,
  ].flatMap((handler) => [handler.command.name, ...(handler.command.aliases ?? [])].map((name) => [name, handler])),
);

/** Whether a name is the node's own: a command of it, or in a group that is closed to strangers. */
export function isOwn(name: string): boolean {
  return handlers.has(name) || groupOf(name) !== undefined;
}

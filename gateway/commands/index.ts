/** Every command the gateway answers. */
import { capacityHandlers } from './capacity.ts';
import { deploymentHandlers } from './deployment.ts';
import type { Handler } from './handler.ts';
import { limitsHandlers } from './limits.ts';
import { networkHandlers } from './network.ts';
import { storageHandlers } from './storage.ts';
import { systemHandlers } from './system.ts';

export const handlers: ReadonlyMap<string, Handler> = new Map(
  [
    ...deploymentHandlers,
    ...capacityHandlers,
    ...limitsHandlers,
    ...networkHandlers,
    ...storageHandlers,
    ...systemHandlers,
  ].map((handler) => [handler.command.name, handler]),
);

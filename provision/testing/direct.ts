/** Clients of a service in the same process, for tests that need no bus. */
import type { Client, InterfaceDefinition, MethodDefinition, Service } from '../../modules/zbus/definition.ts';
import { isZbusError, ZbusError } from '../../modules/zbus/errors.ts';
import type { Lanes, Turn } from '../../modules/zbus/order.ts';

/**
 * A client as the bus gives it: changes take turns by the interface's order, and
 * a caller that gives up leaves a call behind that runs on.
 */
export function direct<D extends InterfaceDefinition>(definition: D, service: Service<D>, lanes: Lanes): Client<D> {
  const handlers = service as Record<string, (args: unknown, context: unknown) => unknown>;
  const run = async (method: string, args: unknown): Promise<unknown> => {
    const leave = await lanes.enter(turnOf(definition.methods[method]?.order, args));
    try {
      return await handlers[method]?.(args, { signal: undefined, trace: '' });
    } catch (error) {
      // As it would cross the bus.
      throw isZbusError(error) ? error : new ZbusError('call_failed', error instanceof Error ? error.message : '');
    } finally {
      leave();
    }
  };
  return new Proxy({} as Client<D>, {
    get: (_, method: string) => (args: unknown, options?: { signal?: AbortSignal }) =>
      new Promise((resolve, reject) => {
        const giveUp = (): void => reject(new ZbusError('cancelled', 'given up by the caller'));
        if (options?.signal?.aborted) giveUp();
        else run(method, args).then(resolve, reject);
        options?.signal?.addEventListener('abort', giveUp, { once: true });
      }),
  });
}

function turnOf(order: MethodDefinition['order'], args: unknown): Turn {
  if (order === undefined) return 'object';
  if (typeof order === 'string') return order;
  return { key: String(order.by.split('.').reduce((value, part) => (value as Record<string, unknown>)[part], args)) };
}

/** The correlation id that follows one request through every process it touches. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';

const traces = new AsyncLocalStorage<string>();

/** Runs `work` with a correlation id that calls made inside it carry along. */
export function withTrace<T>(id: string, work: () => T): T {
  return traces.run(id, work);
}

export function currentTrace(): string | undefined {
  return traces.getStore();
}

export function newTrace(): string {
  return randomUUID();
}

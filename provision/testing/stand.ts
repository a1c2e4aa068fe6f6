/** The stand of the test that runs: made before each test of a file, and gone with it. */
import { afterEach, beforeEach } from 'vitest';
import type { ZbusClient } from '../../modules/zbus/client.ts';
import type { TestHost } from './host.ts';
import { Stand } from './provisiond.ts';
import type { Tenant } from './tenant.ts';

export let stand: Stand;
export let host: TestHost;
export let bus: ZbusClient;
export let tenant: Tenant;

/** Called at the top of a test file; without `served` none of the host's daemons lives. */
export function standForEachTest({ served = true }: { readonly served?: boolean } = {}): void {
  beforeEach(async () => {
    stand = await Stand.open();
    ({ host, bus, tenant } = stand);
    if (served) await stand.serveHost();
  });
  afterEach(() => stand.close());
}

/** Until `open` is called, calls of that method do not go on. */
export function closed(method: string): { readonly open: () => void; readonly reached: Promise<void> } {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  host.hook = async (call, when) => {
    if (call.method !== method || when !== 'before') return;
    arrival.resolve();
    await gate.promise;
  };
  return { open: gate.resolve, reached: arrival.promise };
}

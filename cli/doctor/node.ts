/** What a running node's gateway says of itself. */
import { z } from 'zod';
import type { NodeConfig } from '../node/config.ts';
import { httpPort } from '../node/ports.ts';
import type { Finding } from './checks.ts';

const DEADLINE_MS = 5_000;

const page = z.object({
  problems: z.array(z.object({ part: z.string(), reason: z.string() })).default([]),
});

const REMEDIES: Readonly<Record<string, string>> = {
  twin: 'gridnode up --update-twin union (or replace) writes it to the chain; see docs/operating.md',
  relay: 'check the relay and the network; why is in: gridnode logs gateway',
  bus: 'see: gridnode status',
  startup: 'the node is not registered on its chain yet',
};

export async function checkGateway(config: NodeConfig): Promise<Finding[]> {
  const url = `http://${config.address}:${httpPort}/health`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
    const { problems } = page.parse(await response.json());
    if (problems.length === 0) return [{ check: 'gateway', state: 'ok', found: 'healthy', remedy: '' }];
    return problems.map(({ part, reason }) => ({
      check: `gateway: ${part}`,
      state: 'warn',
      found: reason,
      remedy: REMEDIES[part] ?? 'see: gridnode logs gateway',
    }));
  } catch (error) {
    const found = `${url} does not answer: ${(error as Error).message}`;
    return [{ check: 'gateway', state: 'warn', found, remedy: 'see: gridnode status' }];
  }
}

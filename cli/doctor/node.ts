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
  const url = `${pages(config)}/health`;
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

/** Numbers above zero that want somebody's eye: what it means, and what to do. */
const NUMBERS: readonly (readonly [check: string, series: RegExp, found: (count: number) => string, remedy: string])[] =
  [
    [
      'journal',
      /^provision_journal_damaged(?:\{[^}]*\})? /,
      (count) => `damaged entries set aside: ${count}; what they hold stays as it is`,
      'names and reasons: gridnode logs provisiond; see docs/operating.md',
    ],
    [
      'operations',
      /^provision_lanes\{[^}]*state="parked"[^}]*\} /,
      (count) => `deployments parked for failing again and again: ${count}`,
      'why: gridnode ps; tried again every ten minutes',
    ],
    [
      'reports',
      /^provision_reports\{[^}]*state="dead"[^}]*\} /,
      (count) => `reports of use that the chain refuses: ${count}`,
      'why: gridnode logs provisiond; see docs/operating.md',
    ],
  ];

/** What the page of numbers says that a farmer should know; nothing where there is no page, which `checkGateway` tells. */
export async function checkNumbers(config: NodeConfig): Promise<Finding[]> {
  const page = await fetch(`${pages(config)}/metrics`, { signal: AbortSignal.timeout(DEADLINE_MS) })
    .then((response) => response.text())
    .catch(() => '');
  return numberFindings(page);
}

export function numberFindings(page: string): Finding[] {
  const lines = page.split('\n');
  const warn = (check: string, found: string, remedy: string): Finding => ({ check, state: 'warn', found, remedy });
  const away = lines.flatMap((line) => /^gridnode_up\{.*module="([^"]+)".*\} 0$/.exec(line)?.[1] ?? []);
  const counted = NUMBERS.flatMap(([check, series, found, remedy]): Finding[] => {
    const count = lines.filter((line) => series.test(line)).reduce((sum, line) => sum + countOf(line), 0);
    return count > 0 ? [warn(check, found(count), remedy)] : [];
  });
  return [
    ...away.map((module) => warn('parts', `${module} does not answer`, 'see: gridnode status, gridnode logs')),
    ...(lines.some((line) => /^chain_connected(\{.*\})? 0$/.test(line))
      ? [warn('chain', 'no endpoint answers; nothing new is accepted', 'why: gridnode logs chaind')]
      : []),
    ...counted,
  ];
}

function countOf(line: string): number {
  return Number(line.slice(line.lastIndexOf(' ') + 1)) || 0;
}

/** Where the gateway serves its pages. */
function pages({ address, simulated }: NodeConfig): string {
  return `http://${address}:${simulated?.httpPort ?? httpPort}`;
}

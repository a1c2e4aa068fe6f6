/** Interfaces of the namespace this process runs in. */
import { readFile } from 'node:fs/promises';
import { ipJson, type LinkJson } from './commands.ts';

/** Names of all interfaces; read from the kernel's table, without a process. */
export async function interfaceNames(): Promise<Set<string>> {
  const text = await readFile('/proc/self/net/dev', 'utf8');
  const names = text
    .split('\n')
    .slice(2)
    .map((line) => line.split(':')[0]?.trim() ?? '');
  return new Set(names.filter((name) => name !== ''));
}

/** The interfaces that are ports of a bridge. */
export function portsOf(bridge: string): Promise<LinkJson[]> {
  return ipJson<LinkJson>(['-d', 'link', 'show', 'master', bridge]);
}

interface DefaultRoute {
  readonly dev?: string;
  readonly metric?: number;
}

/** The device of the IPv4 default route with the lowest metric, `undefined` where there is none. */
export async function defaultRouteDevice(): Promise<string | undefined> {
  const routes = await ipJson<DefaultRoute>(['-4', 'route', 'show', 'default']);
  const usable = routes.filter((route) => route.dev !== undefined);
  return usable.sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0))[0]?.dev;
}

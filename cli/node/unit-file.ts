/** What units of every kind of node share. */
import { join } from 'node:path';
import { quoteWord } from '../../modules/zinit/index.ts';
import { checkout, type Layout } from './layout.ts';

export interface UnitFile {
  readonly exec: string;
  readonly test?: string;
  readonly after?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly shutdown_timeout?: number;
}

/** Compiled modules, kept across nodes and restarts: without it each process compiles all it loads, and weighs 20 MiB more. */
export const compileCache = process.env.NODE_COMPILE_CACHE ?? join(checkout, '.tools', 'compile-cache');
/** A daemon, as the supervisor, is small and long-lived: a small nursery, and a heap that gives back what loading took. */
export const nodeOptions = '--disable-warning=ExperimentalWarning --max-semi-space-size=2 --expose-gc';

/**
 * The gateway makes thousands of short-lived objects a moment: where they outgrow the nursery, its heap
 * grows by a third under load, and each request costs more.
 */
export const gatewayOptions = nodeOptions.replace('--max-semi-space-size=2', '--max-semi-space-size=16');

export const words = (...list: readonly string[]): string => list.map(quoteWord).join(' ');

/** The broker: a Redis of the node's own, without a port and without a memory on disk. */
export function redisUnit(layout: Layout): UnitFile {
  const { state } = layout;
  const socket = join(state, 'redis.sock');
  return {
    exec: words(
      ...['redis-server', '--port', '0', '--unixsocket', socket, '--unixsocketperm', '700'],
      ...['--save', '', '--appendonly', 'no', '--dir', join(state, 'run'), '--daemonize', 'no'],
      ...['--maxmemory', '256mb', '--maxmemory-policy', 'noeviction'],
    ),
    test: words('redis-cli', '-s', socket, 'ping'),
  };
}

/** Succeeds once a bus module answers. */
export function answersTest(layout: Layout, module: string): string {
  return words(join(checkout, 'modules/zbus/probe.sh'), join(layout.state, 'redis.sock'), module);
}

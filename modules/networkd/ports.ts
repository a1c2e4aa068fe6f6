/** UDP ports of WireGuard: who holds which, and what else on the host does. */
import { readFile } from 'node:fs/promises';
import { GridError } from '../../schemas/errors/index.ts';

/** Overlay networks, speed test and gateways of a node. */
const RESERVED = [9943, 9944, 9945, 9651, 300, 80, 443, 8082] as const;

export class WireguardPorts {
  readonly #holders = new Map<number, string>();
  readonly #open: () => Promise<ReadonlySet<number>>;

  /** `open`: ports that others on the host hold. */
  constructor(open: () => Promise<ReadonlySet<number>> = openUdpPorts) {
    this.#open = open;
  }

  /**
   * Gives a port to a network, beside the one it may hold already. Throws
   * `network_port_taken`; then nothing has changed. Port 0 is the system's choice.
   */
  async claim(port: number, netid: string): Promise<void> {
    if (port === 0 || this.#holders.get(port) === netid) return;
    this.#check(port);
    const open = await this.#open();
    // Once more: another network may have claimed it while the sockets were read.
    this.#check(port);
    if (open.has(port)) throw new GridError('network_port_taken', { port, holder: 'socket' });
    this.#holders.set(port, netid);
  }

  #check(port: number): void {
    if ((RESERVED as readonly number[]).includes(port)) {
      throw new GridError('network_port_taken', { port, holder: 'node' });
    }
    if (this.#holders.has(port)) throw new GridError('network_port_taken', { port, holder: 'network' });
  }

  /** Notes a port that a network holds on the host already. */
  adopt(port: number, netid: string): void {
    if (port !== 0) this.#holders.set(port, netid);
  }

  /** Takes a port back from a network; another network's is left alone. */
  release(port: number, netid: string): void {
    if (this.#holders.get(port) === netid) this.#holders.delete(port);
  }

  /** Those of `asked` that nobody may ask for. */
  taken(asked: readonly number[]): number[] {
    return asked.filter((port) => (RESERVED as readonly number[]).includes(port) || this.#holders.has(port));
  }

  /** Ports nobody may ask for, ascending. */
  list(): number[] {
    return [...new Set([...RESERVED, ...this.#holders.keys()])].sort((a, b) => a - b);
  }
}

/** Local ports of the UDP sockets in this process's network namespace. */
async function openUdpPorts(): Promise<Set<number>> {
  const ports = new Set<number>();
  for (const file of ['/proc/self/net/udp', '/proc/self/net/udp6']) {
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const port = /^\s*\d+:\s[0-9A-F]+:([0-9A-F]{4})\s/.exec(line)?.[1];
      if (port !== undefined) ports.add(Number.parseInt(port, 16));
    }
  }
  return ports;
}

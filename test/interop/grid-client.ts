/** The official TypeScript grid client in a process of its own, and the hosts and ports that are fixed in it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { startTls } from './official-client.ts';

const STEP_DEADLINE_MS = 120_000;
/** Asked over HTTPS on port 443, whatever the client is told of other services. */
const KYC_HOST = 'kyc.dev.grid.tf';
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Whether its package is installed and a certificate can be made. */
export const hasGridClient =
  existsSync(here('./grid-client/node_modules/@threefold/grid_client')) && existsSync('/usr/bin/openssl');

export interface GridAddresses {
  readonly chain: string;
  /** `ws://` URL of the relay. */
  readonly relay: string;
  /** Base URL of grid proxy, GraphQL and KYC status. */
  readonly web: string;
  /** Own address of this machine whose port 443 is free; twins name it as their relay. */
  readonly host: string;
}

/** TLS where the client insists on it: in front of the relay, and of the KYC service behind a proxy for tunnels. */
export interface GridFront {
  readonly certificates: string;
  readonly proxy: string;
  close(): Promise<void>;
}

export async function startFront(folder: string, { relay, web, host }: GridAddresses): Promise<GridFront> {
  const places = [join(folder, 'relay'), join(folder, 'kyc')] as const;
  await Promise.all(places.map((place) => mkdir(place)));
  const target = (url: string): { host: string; port: number } => {
    const { hostname, port } = new URL(url);
    return { host: hostname, port: Number(port) };
  };
  const [forRelay, forKyc] = [
    await startTls(places[0], { host, address: host, target: target(relay) }),
    await startTls(places[1], { host: KYC_HOST, address: '127.0.0.1', port: 0, target: target(web) }),
  ];
  const certificates = join(folder, 'certificates.pem');
  const parts = [forRelay, forKyc].map(({ certificate }) => readFile(certificate, 'utf8'));
  await writeFile(certificates, (await Promise.all(parts)).join('\n'));

  const proxy = createServer((_request, response) => response.writeHead(501).end());
  const tunnels = new Set<Duplex>();
  proxy.on('connect', (request, near) => {
    if (request.url !== `${KYC_HOST}:443`) return void near.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const far = connect(forKyc.port, '127.0.0.1', () => near.write('HTTP/1.1 200 OK\r\n\r\n'));
    near.pipe(far).pipe(near);
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      tunnels.add(end);
      end.on('error', () => other.destroy());
      end.on('close', () => {
        tunnels.delete(end);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    certificates,
    proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    close: async () => {
      forRelay.close();
      forKyc.close();
      for (const end of tunnels) end.destroy();
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

/** The client as its users run it. It keeps its own files below `folder`. */
export class OfficialGridClient {
  readonly #child: ChildProcess;

  private constructor(folder: string, { certificates, proxy }: GridFront) {
    this.#child = fork(here('./grid-client/client.cjs'), [], {
      stdio: ['ignore', process.env.TEST_LOG === undefined ? 'ignore' : 2, 2, 'ipc'],
      env: {
        ...process.env,
        ...{ HOME: folder, XDG_CONFIG_HOME: folder },
        ...{ HTTPS_PROXY: proxy, NODE_EXTRA_CA_CERTS: certificates, POLKADOTJS_DISABLE_ESM_CJS_WARNING: '1' },
      },
    });
  }

  /** Connects with BIP39 words or a `0x` hex seed, which stores the client's own relay and key on the chain. */
  static async open(
    folder: string,
    front: GridFront,
    { chain, web, host }: GridAddresses,
    mnemonic: string,
  ): Promise<OfficialGridClient> {
    const client = new OfficialGridClient(folder, front);
    try {
      await client.#step('connect', {
        mnemonic,
        ...{ proxyURL: web, graphqlURL: `${web}/graphql`, activationURL: `${web}/activation/activate` },
        ...{ substrateURL: chain, relayURL: `wss://${host}` },
      });
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** A method of one of its modules, `machines.deploy` for one. @throws Error with the client's own text */
  call(name: string, argument?: unknown): Promise<unknown> {
    const [module, method] = name.split('.');
    return this.#step('call', { module, method, argument });
  }

  async disconnect(): Promise<void> {
    await this.#step('disconnect');
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  /** One step at a time. */
  async #step(what: string, argument?: object): Promise<unknown> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(STEP_DEADLINE_MS)]);
    const ended = once(this.#child, 'exit', { signal }).then(([code, by]) => {
      throw new Error(`the official grid client ended: ${code ?? by}`);
    });
    ended.catch(() => undefined);
    const answered = once(this.#child, 'message', { signal });
    this.#child.send({ do: what, with: argument });
    const [message] = (await Promise.race([answered, ended]).finally(() => over.abort())) as [
      { value?: unknown; failure?: string },
    ];
    if (message.failure !== undefined) throw new Error(message.failure);
    return message.value;
  }
}

/** A machine with one disk, as small as the client lets it be. */
export function machineWish(name: string, nodeId: number, flist: string): object {
  return {
    name,
    node_id: nodeId,
    disks: [{ name: `${name}disk`, size: 1, mountpoint: '/data' }],
    ...{ public_ip: false, public_ip6: false, planetary: false, mycelium: false },
    ...{ cpu: 1, memory: 256, rootfs_size: 0 },
    flist,
    entrypoint: '/bin/sh /start.sh',
    env: { GREETING: 'hello' },
  };
}

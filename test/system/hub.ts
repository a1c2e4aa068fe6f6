/** A hub for test nodes: packs trees, serves flists and blocks on the person's side of the link, and misbehaves as told. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeSite } from '../../cli/demo/site.ts';
import { packFlist } from '../../modules/flistd/format/index.ts';
import { serveHttp, type TestNode } from './test-node.ts';

const HELD_DEADLINE_MS = 60_000;

export interface Hub {
  readonly url: string;
  readonly folder: string;
  /** Paths asked for so far. */
  readonly requests: string[];
  /** Answers a request itself and returns true, or leaves it to the folder. */
  intercept: ((path: string, response: ServerResponse) => boolean) | undefined;
  /** Lets the next request for a path that ends so wait. */
  hold(ending: string): Held;
  /** Lets whatever waits go on. */
  release(): void;
  /** Packs what `fill` writes into a folder; returns the flist's URL. */
  pack(name: string, fill: (folder: string) => Promise<void>): Promise<string>;
  close(): Promise<void>;
}

/** A request that waits. */
export interface Held {
  /** Resolves when it came; throws when it does not. */
  reached(): Promise<void>;
  /** Lets it and all later ones through. */
  release(): void;
}

export async function openHub(node: Pick<TestNode, 'config' | 'layout'>): Promise<Hub> {
  const folder = join(node.layout.state, 'hub');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const requests: string[] = [];
  let gate: { readonly ending: string; came: boolean; readonly opened: Promise<void>; open(): void } | undefined;
  const serve = async (path: string, response: ServerResponse): Promise<void> => {
    if (gate !== undefined && path.endsWith(gate.ending)) {
      gate.came = true;
      await gate.opened;
    }
    if (hub.intercept?.(path, response) === true) return;
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    if (bytes === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  };
  const served = await serveHttp(node.config, (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://hub').pathname);
    requests.push(path);
    serve(path, response).catch(() => response.destroy());
  });
  const hub: Hub = {
    url: served.url,
    folder,
    requests,
    intercept: undefined,
    hold(ending) {
      const opened = Promise.withResolvers<void>();
      const mine = { ending, came: false, opened: opened.promise, open: opened.resolve };
      gate = mine;
      const reached = async (): Promise<void> => {
        const until = Date.now() + HELD_DEADLINE_MS;
        while (!mine.came) {
          if (Date.now() > until) throw new Error(`nobody asked for *${ending} within ${HELD_DEADLINE_MS} ms`);
          await sleep(20);
        }
      };
      return { reached, release: hub.release };
    },
    release() {
      gate?.open();
      gate = undefined;
    },
    async pack(name, fill) {
      const tree = join(folder, `${name}.tree`);
      await mkdir(tree, { recursive: true });
      await fill(tree);
      await packFlist({
        directory: tree,
        output: join(folder, `${name}.fl`),
        store: `dir://${join(folder, `${name}.blocks`)}`,
        routes: [{ start: 0, end: 255, url: `${served.url}/${name}.blocks` }],
      });
      return `${served.url}/${name}.fl`;
    },
    async close() {
      served.server.closeAllConnections();
      await served.close();
    },
  };
  return hub;
}

/** The demo's site as a flist of the hub. */
export function packSite(hub: Hub): Promise<string> {
  return hub.pack('site', (folder) => writeSite(folder));
}

/** A file that no other test packed, so that its blocks are in no cache. */
export function packFile(hub: Hub, name: string, content: string): Promise<string> {
  return hub.pack(name, (folder) => writeFile(join(folder, 'file'), content));
}

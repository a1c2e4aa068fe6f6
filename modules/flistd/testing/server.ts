/** A real HTTP server on loopback for tests: serves a folder, and misbehaves as told. */
import { createReadStream, statSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface TestServer {
  readonly url: string;
  /** Paths asked for so far. */
  readonly requests: string[];
  /** Answers a request itself and returns true, or leaves it to the folder. */
  intercept: ((path: string, response: ServerResponse) => boolean) | undefined;
  /** Milliseconds before each answer. */
  delayMs: number;
  stop(): Promise<void>;
}

export async function serveFolder(folder: string, listenPort = 0, host = '127.0.0.1'): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://h').pathname);
    requests.push(path);
    const answer = async (): Promise<void> => {
      if (served.delayMs > 0) await delay(served.delayMs);
      if (served.intercept?.(path, response)) return;
      const stats = statSync(join(folder, path), { throwIfNoEntry: false });
      if (!stats?.isFile()) {
        response.writeHead(404).end();
        return;
      }
      const etag = `"${stats.size}-${stats.mtimeMs}"`;
      if (request.headers['if-none-match'] === etag) {
        response.writeHead(304).end();
        return;
      }
      response.writeHead(200, { etag });
      createReadStream(join(folder, path)).pipe(response);
    };
    answer().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(listenPort, host, resolve));
  const { port } = server.address() as AddressInfo;
  const served: TestServer = {
    url: `http://${host}:${port}`,
    requests,
    intercept: undefined,
    delayMs: 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return served;
}

/** TCP ports on loopback that nobody holds. */
import { createServer, type Server } from 'node:net';

const ADDRESS = '127.0.0.1';

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, ADDRESS, () => resolve(server));
  });
}

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

/** A port for each number: that one where it is free, another otherwise and for 0. All are different. */
export async function freePorts(wanted: readonly number[]): Promise<number[]> {
  const servers: Server[] = [];
  try {
    // Held together, so that the system gives none of them twice.
    for (const port of wanted) servers.push(await listen(port).catch(() => listen(0)));
    return servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('a listening socket has no port');
      return address.port;
    });
  } finally {
    await Promise.all(servers.map(closed));
  }
}

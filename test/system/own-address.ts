import { createServer } from 'node:net';

/**
 * An address of this host for this process alone. A port that was found free, or that is listened on again, is not
 * taken by others meanwhile: they listen, and connect from, elsewhere.
 */
export const ownAddress =
  process.platform === 'linux'
    ? `127.${64 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`
    : '127.0.0.1';

/** A port of the own address where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, ownAddress, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

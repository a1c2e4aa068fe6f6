/** What calls left on a broker. */
import { Redis } from 'ioredis';

/**
 * Queues, work lists and reply lists that are there and stay: not what the
 * broker removes by itself in time.
 */
export async function leftovers(socket: string): Promise<string[]> {
  const redis = new Redis({ path: socket, protocol: 2 });
  try {
    const found: string[] = [];
    for (const key of await redis.keys('*')) {
      if ((await redis.type(key)) === 'list' && (await redis.ttl(key)) === -1) found.push(key);
    }
    return found;
  } finally {
    redis.disconnect();
  }
}

import { describe, expect, it } from 'vitest';
import { type FarmAddress, publicIpValidation } from './public-ip.ts';

const { signal } = new AbortController();
const free = (ip: string, gateway: string): FarmAddress => ({ ip, gateway, contract: 0n });

const run = (addresses: FarmAddress[], { node = 3, nodes = [7, 3], up = [] as number[] } = {}) =>
  publicIpValidation({
    farm: async () => ({ node, nodes, addresses }),
    isUp: async (id) => up.includes(id),
  }).run(signal);

describe("the farm's public addresses", () => {
  it('are looked at by the node of the lowest id that is up', async () => {
    const addresses = [free('185.69.166.10/24', '185.69.166.1')];
    expect(await run(addresses, { node: 7, nodes: [3, 7, 9], up: [3, 9] })).toEqual({});
    expect(await run(addresses, { node: 7, nodes: [3, 7, 9], up: [9] })).toHaveProperty(['185.69.166.10/24']);
    expect(await run([])).toEqual({});
  });

  it('are invalid where no machine could use them, and never called valid without a look from outside', async () => {
    const invalid = { state: 'invalid', reason: 'public ip or gateway data are not valid' };
    const skipped = { state: 'skipped', reason: 'failed to get real public IP to the node' };
    expect(
      await run([
        free('185.69.166.10/24', '185.69.166.1'),
        free('2001:db8::10/64', '2001:db8::1'),
        { ...free('185.69.166.11/24', '185.69.166.1'), contract: 5n },
        free('185.69.166.12/24', '185.69.167.1'),
        free('185.69.166.13', '185.69.166.1'),
        free('185.69.166.14/33', '185.69.166.1'),
        free('185.69.166.15/24', '185.69.166.15'),
        free('185.69.166.16/24', 'fe80::1'),
        free('nonsense/24', '185.69.166.1'),
      ]),
    ).toEqual({
      '185.69.166.10/24': skipped,
      '2001:db8::10/64': skipped,
      '185.69.166.11/24': { state: 'skipped', reason: 'ip is already assigned to a contract' },
      '185.69.166.12/24': invalid,
      '185.69.166.13': invalid,
      '185.69.166.14/33': invalid,
      '185.69.166.15/24': invalid,
      '185.69.166.16/24': invalid,
      'nonsense/24': invalid,
    });
  });
});

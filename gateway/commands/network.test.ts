/** Answers of networkd as clients read them. */
import { describe, expect, it } from 'vitest';
import { formatOutput } from '../../schemas/index.ts';
import type { Call, Node } from './handler.ts';
import { handlers } from './index.ts';

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const IPV6 = bytes(0x2a, 0x10, 0xb6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const none = { IP: null, Mask: null };

async function answer(name: string, network: object): Promise<unknown> {
  const handler = handlers.get(name);
  if (handler === undefined) throw new Error(`no ${name}`);
  const call = { node: { network } as unknown as Node } as Call;
  return JSON.parse(formatOutput(handler.command, (await handler.run(null, call)) as never));
}

describe('public configuration', () => {
  it('has addresses with their lengths, and empty texts for what is not set', async () => {
    const config = {
      Type: '',
      IPv4: { IP: bytes(185, 206, 122, 31), Mask: bytes(255, 255, 255, 0) },
      IPv6: { IP: IPV6, Mask: bytes(...Array<number>(8).fill(255), ...Array<number>(8).fill(0)) },
      GW4: bytes(185, 206, 122, 1),
      GW6: null,
      Domain: 'gent01.dev.grid.tf',
    };
    expect(await answer('zos.network.public_config_get', { GetPublicConfig: () => config })).toEqual({
      type: '',
      ipv4: '185.206.122.31/24',
      ipv6: '2a10:b600::1/64',
      gw4: '185.206.122.1',
      gw6: '',
      domain: 'gent01.dev.grid.tf',
    });
    const bare = { ...config, IPv4: none, IPv6: none, GW4: bytes(), Domain: '' };
    expect(await answer('zos.network.public_config_get', { GetPublicConfig: () => bare })).toEqual({
      type: '',
      ipv4: '',
      ipv6: '',
      gw4: '',
      gw6: '',
      domain: '',
    });
  });
});

describe('interfaces', () => {
  const card = (Name: string, ...IPs: readonly object[]) => [Name, { Name, IPs, Mac: '02:00:00:00:00:01' }] as const;
  const v4 = { IP: bytes(192, 168, 1, 10), Mask: bytes(255, 255, 255, 0) };
  const v6 = { IP: IPV6, Mask: bytes(...Array<number>(16).fill(255)) };
  const Interfaces = () => ({ Interfaces: new Map([card('zos', v6, v4), card('eth0', v4), card('eth1')]) });

  it("are the main one's addresses for everyone, IPv4 first", async () => {
    expect(await answer('zos.network.interfaces', { Interfaces })).toEqual({ zos: ['192.168.1.10', '2a10:b600::1'] });
    const away = () => ({ Interfaces: new Map([card('eth1')]) });
    expect(await answer('zos.network.interfaces', { Interfaces: away })).toEqual({ zos: [] });
  });

  it('are every card for the farmer, under both names of the command', async () => {
    for (const name of ['zos.admin.interfaces', 'zos.network.admin.interfaces']) {
      expect(await answer(name, { Interfaces })).toEqual({
        zos: { ips: ['2a10:b600::1/128', '192.168.1.10/24'], mac: '02:00:00:00:00:01' },
        eth0: { ips: ['192.168.1.10/24'], mac: '02:00:00:00:00:01' },
        eth1: { ips: [], mac: '02:00:00:00:00:01' },
      });
    }
  });
});

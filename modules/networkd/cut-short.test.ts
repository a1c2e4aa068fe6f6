/** What a removal or a start that was cut short leaves, over books. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { simulatedHost } from '../host/simulation.ts';
import type { Service } from '../zbus/definition.ts';
import { openSimulatedLinks } from './drivers/simulated.ts';
import type { network } from './interface.ts';
import { networkInventoryService } from './inventory.ts';
import { Networks } from './networks.ts';
import { WireguardPorts } from './ports.ts';
import { networkService } from './service.ts';
import { NetworkStore } from './store.ts';
import { networkRequest } from './testing/node.ts';

const log = pino({ level: 'silent' });
const context = { signal: new AbortController().signal, trace: '' };
let root: string;
let refused: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gn-cut-'));
  refused = '';
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function start(): Promise<Service<typeof network>> {
  return (await open()).service;
}

async function open() {
  const refuse = (call: string): void => {
    if (call.startsWith(refused) && refused !== '') throw new Error('the host does not');
  };
  const links = openSimulatedLinks(join(root, 'links.json'), simulatedHost({ delayMs: 0, refuse }), root);
  const { store } = await NetworkStore.open(root);
  const ports = new WireguardPorts(async () => new Set());
  const networks = new Networks({ store, ports, fabric: links.fabric, taps: links.taps, log });
  await networks.adopt();
  const service = networkService({ networks, taps: links.taps, ports, host: links.host, log });
  return { service, networks, inventory: networkInventoryService({ networks, taps: links.taps }) };
}

it('says that a network is there until its removal has ended', async () => {
  const request = networkRequest('cuta', { WGListenPort: 4301 });
  let service = await start();
  await service.CreateNR({ wl: '1-1-a', network: request }, context);
  refused = 'networkd removeNetwork';
  await expect(service.DeleteNR({ wl: '1-1-a' }, context)).rejects.toThrow('the host does not');
  expect(await service.GetSubnet({ networkID: 'cuta' }, context)).toEqual(request.Subnet);
  // Nothing new may lie on it.
  await expect(service.SetupPrivTap({ networkID: 'cuta', name: 'one' }, context)).rejects.toMatchObject({
    code: 'network_unknown',
  });
  service = await start();
  expect(await service.GetSubnet({ networkID: 'cuta' }, context)).toEqual(request.Subnet);
  refused = '';
  await service.DeleteNR({ wl: '1-1-a' }, context);
  expect(() => service.GetSubnet({ networkID: 'cuta' }, context)).toThrow(/cuta/);
  expect(await service.WireguardPorts({}, context)).not.toContain(4301);
});

it('gives back the lease of a network that was never written down', async () => {
  const file = join(root, 'leases.json');
  const leases = (): unknown => JSON.parse(readFileSync(file, 'utf8'));
  const service = await start();
  await service.CreateNR({ wl: '1-1-a', network: networkRequest('cuta') }, context);
  const held = leases();
  expect(held).toEqual({ cuta: '100.127.0.2' });
  writeFileSync(file, JSON.stringify({ ...(held as object), cutb: '100.127.0.3' }));
  await start();
  expect(leases()).toEqual(held);
});

it('mends a network whose making the host refused at the start', async () => {
  const { service } = await open();
  await service.CreateNR({ wl: '1-1-a', network: networkRequest('cuta') }, context);
  // The host forgot everything, and refuses.
  rmSync(join(root, 'links.json'));
  refused = 'networkd createNetwork';
  const { networks, inventory } = await open();
  const kinds = async (): Promise<string[]> => {
    return (await inventory.Owned({}, context)).map(({ Kind, Name, Owner }) => `${Kind} ${Name} ${Owner}`);
  };
  expect(await kinds()).toEqual(['network-record cuta 1-1-a']);
  await networks.mend();
  expect(await kinds()).toEqual(['network-record cuta 1-1-a']);
  refused = '';
  await networks.mend();
  expect(await kinds()).toEqual(['network cuta 1-1-a']);
});

it('W-small: gives the port of a network back whose removal was cut short, where it is made again with another', async () => {
  const service = await start();
  await service.CreateNR({ wl: '1-1-a', network: networkRequest('cuta', { WGListenPort: 4301 }) }, context);
  const removed = async (): Promise<void> => {
    refused = 'networkd removeNetwork';
    await expect(service.DeleteNR({ wl: '1-1-a' }, context)).rejects.toThrow('the host does not');
  };
  await removed();
  refused = '';
  await service.CreateNR({ wl: '1-1-a', network: networkRequest('cuta', { WGListenPort: 4302 }) }, context);
  expect(await service.WireguardPorts({}, context)).not.toContain(4301);
  await removed();
  refused = 'networkd createNetwork';
  const again = networkRequest('cuta', { WGListenPort: 4303 });
  await expect(service.CreateNR({ wl: '1-1-a', network: again }, context)).rejects.toThrow();
  refused = '';
  await service.DeleteNR({ wl: '1-1-a' }, context);
  const ports = await service.WireguardPorts({}, context);
  expect([4301, 4302, 4303].filter((port) => ports.includes(port))).toEqual([]);
});

it('W17: keeps a network of books, too, while machines of other deployments are on it', async () => {
  const { service, inventory } = await open();
  await service.CreateNR({ wl: '1-1-a', network: networkRequest('cuta') }, context);
  await service.SetupPrivTap({ networkID: 'cuta', name: 'one' }, context);
  await inventory.Claim({ name: 'one', owner: '1-2-vm' }, context);
  const refusal = { code: 'network_in_use', details: { network: 'cuta', holder: '1-2-vm', amount: 1 } };
  await expect(service.DeleteNR({ wl: '1-1-a' }, context)).rejects.toMatchObject(refusal);
  await service.RemoveTap({ name: 'one' }, context);
  await service.DeleteNR({ wl: '1-1-a' }, context);
  expect(await inventory.Owned({}, context)).toEqual([]);
});

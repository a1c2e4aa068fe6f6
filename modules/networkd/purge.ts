/**
 * Removes everything that a state folder's networkd made: `purge.ts --state DIR`.
 * Safe to run again, after a crash, and where networkd never ran. networkd
 * itself must not run any more.
 */
import { spawnSync } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { openWireguard, type WireguardDriver } from '../wireguard/index.ts';
import { nftApply } from './drivers/commands.ts';
import { isNamespaceFile, Namespaces, nameOf, namespaceFile } from './drivers/namespaces.ts';
import { HostSettings } from './drivers/settings.ts';
import { Fabric } from './fabric.ts';
import { recallHome } from './home.ts';
import { noHostRules } from './plan/firewall.ts';
import { networkNames } from './plan/names.ts';
import { planNetwork } from './plan/network.ts';
import { Router } from './router.ts';
import { NetworkStore } from './store.ts';

const log = pino({ name: 'networkd-purge' });

async function purge(root: string): Promise<void> {
  const home = await recallHome(root);
  if (home === undefined) {
    log.info('networkd never ran with this state folder');
    return;
  }
  const here = await Namespaces.open();
  const isHome = here.self === home.inode;
  const name = isHome ? undefined : await nameOf(home.inode);
  if (name !== undefined) return again(name);
  const namespaces = isHome ? here : here.withScope(home.scope);
  const { store } = await NetworkStore.open(root);
  const wireguard = await openWireguard({ folder: join(root, 'wireguard') });
  const router = new Router({ namespaces, settings: new HostSettings(root), log, owner: resolve(root) });

  if (isHome && (await router.isForeign())) {
    log.info('another node has its networks here; this one has none');
  } else if (isHome) {
    await removeHere({ root, namespaces, store, wireguard, router });
    await removeScoped(namespaces);
  } else {
    // Interfaces of these names may be another node's: this one's went with its namespace.
    log.info({ scope: home.scope }, 'the network namespace of this node is gone, and its interfaces with it');
    for (const { spec } of store.all()) {
      const { wireguard: device, namespace } = networkNames(spec.netid);
      await wireguard.remove({ name: device, namespace: namespaces.pathOf(namespace) });
    }
    if (!(await isNamespaceFile(namespaceFile(home.scope)))) await removeScoped(namespaces);
  }
  await rm(root, { recursive: true, force: true });
}

interface Parts {
  readonly root: string;
  readonly namespaces: Namespaces;
  readonly store: NetworkStore;
  readonly wireguard: WireguardDriver;
  readonly router: Router;
}

async function removeHere({ root, namespaces, store, wireguard, router }: Parts): Promise<void> {
  const fabric = new Fabric({ namespaces, wireguard });
  for (const { spec, lease } of store.all()) {
    await fabric.remove(planNetwork(spec, lease));
    log.info({ network: spec.netid }, 'removed');
  }
  await router.remove();
  await nftApply(noHostRules());
  log.info({ settings: await new HostSettings(root).restore() }, 'host settings restored');
}

/** The same once more, inside the node's own namespace. */
function again(name: string): void {
  const args = [`--net=${namespaceFile(name)}`, '--', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync('nsenter', args, { stdio: 'inherit', timeout: 120_000 });
  process.exitCode = status ?? 1;
}

/** A scope belongs to one node, so every namespace below it does. */
async function removeScoped(namespaces: Namespaces): Promise<void> {
  if (namespaces.scope === '') return;
  const prefix = namespaces.nameFor('');
  const names = (await readdir('/run/netns').catch(() => [])).filter((name) => name.startsWith(prefix));
  for (const full of names) {
    const name = full.slice(prefix.length);
    await namespaces.drop(name);
  }
}

const { values } = parseArgs({ options: { state: { type: 'string' } } });
if (values.state === undefined) throw new Error('purge.ts: --state DIR is required');
await purge(join(values.state, 'networkd'));

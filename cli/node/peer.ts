/** One of the development node's people as an RMB client of the node. */
import { RmbClient, TwinCache, type TwinSource } from '../../gateway/rmb/index.ts';
import { CliError } from '../command.ts';
import type { NodeConfig } from './config.ts';
import { openChain, readRegistration } from './development.ts';
import { ensureKey, type KeyName } from './keys.ts';
import type { Layout } from './layout.ts';

export interface Peer {
  readonly twin: number;
  readonly callNode: (
    command: string,
    payload: string,
    deadlineMs: number,
    signal?: AbortSignal,
  ) => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

export async function openPeer(layout: Layout, config: NodeConfig, name: KeyName): Promise<Peer> {
  const registration = await readRegistration(layout);
  if (registration === undefined)
    throw new CliError(`the node in ${layout.state} is not registered on its chain yet; see: gridnode status`);
  const chain = await openChain(layout, config, name);
  const source: TwinSource = { twin: (id) => chain.twin(id) };
  const twin = registration.twins[name];
  const client = new RmbClient({
    relays: config.relay,
    identity: await ensureKey(layout, name),
    twinId: twin,
    session: 'cli',
    twins: new TwinCache(source),
  });
  const close = async (): Promise<void> => {
    await client.close();
    await chain.close();
  };
  try {
    await client.connect({ deadlineMs: 10_000 });
  } catch (error) {
    await close();
    throw new CliError(
      `${(error as Error).message}; is the node running? see: gridnode status --state ${layout.state}`,
    );
  }
  return {
    twin,
    close,
    callNode: (command, payload, deadlineMs, signal) =>
      client.call({ twin: registration.twins.node, command, payload, deadlineMs, signal }),
  };
}

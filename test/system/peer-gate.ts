/** A node's peer behind lines of several kinds: the real relay, and relays that check nothing. */
import { type Counter, Registry } from 'prom-client';
import { Dispatcher } from '../../gateway/commands/dispatch.ts';
import type { Node } from '../../gateway/commands/handler.ts';
import { handlers } from '../../gateway/commands/index.ts';
import { Door, type DoorOptions } from '../../gateway/door/door.ts';
import { DEFAULT_DOOR_LIMITS } from '../../gateway/door/limits.ts';
import { publishedLimits } from '../../gateway/door/published-limits.ts';
import { World } from '../../gateway/relay/testing/world.ts';
import { type Envelope, PayloadCipher, type RmbClient } from '../../gateway/rmb/index.ts';
import { HostileRelay } from './hostile-relay.ts';
import { A, B, BARE, N, NODE, OTHER, S, SESSION, USER } from './peer-requests.ts';
import { nowSeconds, RawLine } from './raw-line.ts';

/** Calls of the node's daemons. */
export const daemons: string[] = [];
const node = new Proxy({} as Node, {
  get: (_node, module) => (module === 'traits' ? [] : daemonsOf(module)),
});

function daemonsOf(module: string | symbol): object {
  return new Proxy(
    {},
    {
      get: (_module, method) => async () => {
        daemons.push(`${String(module)}.${String(method)}`);
        return [{ Name: 'pool', Type: 'ssd', Size: 2 ** 40, Used: 2 ** 30 }];
      },
    },
  );
}

export interface Gate {
  readonly send: (bytes: Uint8Array) => void;
  readonly received: readonly Envelope[];
  readonly answer: (uid: string) => Promise<Envelope | undefined>;
  readonly nowSeconds: () => number;
  /** How often a check refused with a code, or what nodes never answer was dropped. */
  readonly counted: (label: Readonly<Record<string, string>>) => Promise<number>;
}
export type Via = 'relay' | 'hostile' | 'strict';

function serve(world: World, client: RmbClient, options: Partial<DoorOptions>): Pick<Gate, 'counted'> {
  const registry = new Registry();
  const door = new Door({
    twinId: NODE,
    twins: world.twins,
    verifier: world.verifier,
    cipher: new PayloadCipher(N),
    answer: (request, twin, answer) => client.answer(request, twin, answer),
    log: world.log,
    registry,
    ...options,
  });
  const dispatcher = new Dispatcher({
    handlers,
    node,
    log: world.log,
    limits: () =>
      publishedLimits(DEFAULT_DOOR_LIMITS, {
        requireEncryption: false,
        twinCacheMs: 0,
        commandDeadlineMs: 60_000,
        nowSeconds: nowSeconds(),
      }),
    onRefused: (check, refusal) => door.count(check, refusal),
  });
  client.serve(door.handler(({ command, payload, twin }) => dispatcher.answer({ command, payload, twin: twin.id })));
  return {
    counted: async (label) => {
      const name = 'reason' in label ? 'gateway_door_ignored_total' : 'gateway_door_refused_total';
      const { values } = await (registry.getSingleMetric(name) as Counter).get();
      return values.find(({ labels }) => Object.entries(label).every(([key, of]) => labels[key] === of))?.value ?? 0;
    },
  };
}

export class PeerGates {
  readonly world: World;
  /** The user's line to the real relay. */
  readonly user: RawLine;
  readonly hostile: HostileRelay[] = [];

  private constructor(world: World, user: RawLine) {
    this.world = world;
    this.user = user;
  }

  static async open(): Promise<{ all: PeerGates; gates: Record<Via, Gate> }> {
    const world = await World.start();
    world.chain.put(USER, A);
    world.chain.put(OTHER, B);
    world.chain.put(BARE, S, { encrypted: false });
    world.chain.put(NODE, N);
    const client = world.client({ id: NODE, identity: N });
    const { counted } = serve(world, client, {});
    await client.connect();
    const user = await RawLine.open(world.url, A, USER, SESSION);
    const all = new PeerGates(world, user);
    const relay: Gate = {
      send: (bytes) => user.send(bytes),
      received: user.received,
      answer: (uid) => user.answer(uid),
      nowSeconds,
      counted,
    };
    const hostile = await all.openHostile({});
    const strict = await all.openHostile({ requireEncryption: true });
    return { all, gates: { relay, hostile, strict } };
  }

  /** The node once more, with a door of its own, behind a relay that checks nothing. */
  async openHostile(options: Partial<DoorOptions>): Promise<Gate> {
    const line = await HostileRelay.open();
    this.hostile.push(line);
    const client = this.world.client({ id: NODE, identity: N }, { relays: [line.url] });
    const { counted } = serve(this.world, client, options);
    await client.connect();
    return {
      send: (bytes) => line.send(bytes),
      received: line.received,
      answer: (uid) => line.answer(uid),
      nowSeconds: () => Math.floor((options.now?.() ?? Date.now()) / 1000),
      counted,
    };
  }

  async close(): Promise<void> {
    this.user.close();
    await this.world.stop();
    await Promise.all(this.hostile.map((line) => line.close()));
  }
}

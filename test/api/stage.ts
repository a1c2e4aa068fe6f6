/** The node that examples are asked of: its farmer is an admin, it knows its place, and a hub has the example's image. */
import { openHub, packSite } from '../system/hub.ts';
import { startTestNode, type TestNode } from '../system/test-node.ts';

/** The first twin of a development chain. */
const FARMER_TWIN = 1;

const POOL_BYTES = 6 * 1024 ** 3;
const GHENT = 'longitude=3.72,latitude=51.05,continent=Europe,country=BE:Belgium,city=Ghent';

/** Throws where the node leaves something on the host. */
export async function withExampleNode<T>(work: (node: TestNode, flist: string) => Promise<T>): Promise<T> {
  const node = await startTestNode({ adminTwins: [FARMER_TWIN], location: GHENT, poolSize: POOL_BYTES });
  const worked = await withHub(node, work).finally(() => node.stop().then((left) => expectNothing(left)));
  return worked;
}

async function withHub<T>(node: TestNode, work: (node: TestNode, flist: string) => Promise<T>): Promise<T> {
  const hub = await openHub(node);
  try {
    return await work(node, await packSite(hub));
  } finally {
    await hub.close();
  }
}

function expectNothing(left: readonly string[]): void {
  if (left.length > 0) throw new Error(`the node left ${left.join(', ')}`);
}

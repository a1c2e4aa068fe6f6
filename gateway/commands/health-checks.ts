/**
 * Whether a workload is on the host as it was signed: questions to the daemons that hold its parts, each
 * with a deadline of its own, so that one that hangs does not hide what the others say.
 */
import {
  type Deployment,
  findWorkload,
  loadData,
  MiB,
  network,
  networkId,
  parseCidr,
  printIp,
  type Workload,
  workloadId,
  zmachine,
} from '../../schemas/index.ts';
import { revived } from './failures.ts';
import type { Call } from './handler.ts';

/** Milliseconds that one check may take. */
const CHECK_MS = 5_000;

interface Check {
  readonly name: string;
  /** Details for the caller; throws what is wrong. */
  readonly look: (calling: { readonly signal: AbortSignal; readonly deadlineMs: number }) => Promise<object>;
}

/** Something is not as it should be; `evidence` is what is there. */
class Unhealthy extends Error {
  override readonly name = 'Unhealthy';
  readonly evidence: object;

  constructor(message: string, evidence: object) {
    super(message);
    this.evidence = evidence;
  }
}

/** `undefined` for types of which the node has nothing to look at. */
export async function checkWorkload(deployment: Deployment, workload: Workload, call: Call) {
  const id = workloadId(deployment.twin_id, deployment.contract_id, workload.name);
  const checks = checksOf(deployment, workload, id, call);
  if (checks === undefined) return undefined;
  const results = await Promise.all(checks.map((check) => run(check, call.signal)));
  return {
    workload_id: id,
    type: workload.type,
    name: workload.name,
    status: results.every(({ ok }) => ok) ? 'healthy' : 'unhealthy',
    checks: results,
  };
}

async function run({ name, look }: Check, signal: AbortSignal) {
  try {
    const evidence = await look({ signal, deadlineMs: CHECK_MS });
    return { name, ok: true, message: '', evidence: JSON.stringify(evidence) };
  } catch (error) {
    signal.throwIfAborted();
    const evidence = error instanceof Unhealthy ? error.evidence : {};
    return { name, ok: false, message: revived(error).message, evidence: JSON.stringify(evidence) };
  }
}

function checksOf(deployment: Deployment, workload: Workload, id: string, call: Call): Check[] | undefined {
  if (workload.type === network.name) return networkChecks(deployment.twin_id, workload, call);
  return workload.type === zmachine.name ? machineChecks(deployment, workload, id, call) : undefined;
}

/** Names of devices and namespaces are those of the grid's nodes. */
function networkChecks(twin: number, workload: Workload, { node }: Call): Check[] {
  const networkID = networkId(twin, workload.name);
  const { subnet } = loadData(network, workload);
  const bridge = `b-${networkID}`;
  return [
    {
      name: 'network.config',
      look: async (calling) => {
        const { IP, Mask } = await node.network.GetSubnet({ networkID }, calling);
        const actual = `${textOf(IP)}/${prefixOf(Mask)}`;
        const evidence = { net_id: networkID, subnet: actual };
        if (!isSameSubnet(actual, subnet)) throw new Unhealthy(`the subnet is ${actual}, not ${subnet}`, evidence);
        return evidence;
      },
    },
    {
      name: 'network.namespace',
      look: async (calling) => {
        const namespace = await node.network.Namespace({ id: networkID }, calling);
        await node.network.Interfaces({ iface: '', netns: namespace }, calling);
        return { namespace };
      },
    },
    {
      name: 'network.interfaces',
      look: async (calling) => {
        const namespace = await node.network.Namespace({ id: networkID }, calling);
        const iface = `n-${networkID}`;
        const [gateway] = await node.network.GetDefaultGwIP({ networkID }, calling);
        const [addresses] = await node.network.Addrs({ iface, netns: namespace }, calling);
        const evidence = { namespace, interface: iface, addresses: addresses.map(textOf) };
        if (evidence.addresses.includes(textOf(gateway))) return evidence;
        throw new Unhealthy(`${iface} does not have the gateway's address ${textOf(gateway)}`, evidence);
      },
    },
    {
      name: 'network.bridge',
      look: async (calling) => {
        const [, mac] = await node.network.Addrs({ iface: bridge, netns: '' }, calling);
        return { bridge, mac };
      },
    },
  ];
}

function machineChecks(deployment: Deployment, workload: Workload, id: string, { node }: Call): Check[] {
  const { compute_capacity: wanted, mounts } = loadData(zmachine, workload);
  const targets = mounts.map(({ name }) => ({
    type: findWorkload(deployment, name)?.type,
    id: workloadId(deployment.twin_id, deployment.contract_id, name),
  }));
  return [
    {
      name: 'vm.vmd',
      look: async (calling) => {
        if (await node.vmd.Exists({ name: id }, calling)) return { name: id };
        throw new Unhealthy('vmd knows no such machine', { name: id });
      },
    },
    {
      name: 'vm.process',
      // The machine's own process answers this.
      look: async (calling) => {
        const { CPU, Memory } = await node.vmd.Inspect({ name: id }, calling);
        return { cpu: CPU, memory_mib: Memory };
      },
    },
    {
      name: 'vm.config',
      look: async (calling) => {
        const { CPU, Memory } = await node.vmd.Inspect({ name: id }, calling);
        const expected = { cpu: wanted.cpu, memory_mib: Math.round(Number(wanted.memory) / MiB) };
        const evidence = { expected, actual: { cpu: CPU, memory_mib: Memory } };
        if (CPU === expected.cpu && Memory === expected.memory_mib) return evidence;
        throw new Unhealthy(
          `it runs with ${CPU} CPUs and ${Memory} MiB, not with ${expected.cpu} and ${expected.memory_mib} MiB`,
          evidence,
        );
      },
    },
    {
      name: 'vm.disks',
      look: async (calling) => {
        const disks = targets.filter(({ type }) => type === 'zmount').map((one) => one.id);
        const there = await Promise.all(disks.map((name) => node.storage.DiskExists({ name }, calling)));
        const missing = disks.filter((_, index) => there[index] !== true);
        if (missing.length === 0) return { disks };
        throw new Unhealthy(`disks are missing: ${missing.join(', ')}`, { disks, missing });
      },
    },
    {
      name: 'vm.virtiofs',
      look: async (calling) => {
        const volumes = [`rootfs:${id}`, ...targets.filter(({ type }) => type === 'volume').map((one) => one.id)];
        const there = await Promise.all(volumes.map((name) => node.storage.VolumeExists({ name }, calling)));
        const missing = volumes.filter((_, index) => there[index] !== true);
        const mounted = await node.flist.Exists({ name: id }, calling);
        const evidence = { volumes, missing, root_mounted: mounted };
        if (missing.length > 0) throw new Unhealthy(`volumes are missing: ${missing.join(', ')}`, evidence);
        if (!mounted) throw new Unhealthy('the root file system is not mounted', evidence);
        return evidence;
      },
    },
  ];
}

function textOf(address: Uint8Array | null): string {
  return address === null ? '' : printIp(address);
}

function prefixOf(mask: Uint8Array | null): number {
  return [...(mask ?? [])].reduce((bits, byte) => bits + byte.toString(2).replaceAll('0', '').length, 0);
}

/** Both have host bits as they like. */
function isSameSubnet(left: string, right: string): boolean {
  const network4 = (text: string): string | undefined => {
    const cidr = parseCidr(text);
    if (cidr === undefined) return undefined;
    const bits = [...cidr.address].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    return `${bits.slice(0, cidr.prefix)}/${cidr.prefix}`;
  };
  return network4(left) !== undefined && network4(left) === network4(right);
}

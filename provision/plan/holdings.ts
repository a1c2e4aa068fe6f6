/** What accepted deployments hold of the node, as the planner asks for it. No answer costs more than it is long. */

/** A network's name in its twin's name space and what it occupies on the node. */
export interface NetworkClaim {
  readonly name: string;
  readonly subnet: string;
  readonly range: string;
  /** 0 when the network has no WireGuard port. */
  readonly wireguardPort: number;
}

/** A machine's private address. */
export interface AddressClaim {
  readonly network: string;
  readonly ip: string;
}

/** Of everything that is counted, one side of the books. */
export interface Sums {
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly publicIps: number;
}

/** Bytes of one pool. */
export interface PoolSums {
  readonly committed: number;
  readonly pending: number;
}

/** Who holds something: one workload of one accepted deployment. */
export interface Holder {
  readonly twin: number;
  readonly contract: bigint;
  readonly workload: string;
}

export interface NetworkHolder extends Holder {
  readonly network: NetworkClaim;
  /** It is to go away, and is not gone. */
  readonly isLeaving: boolean;
}

export interface AddressHolder extends Holder {
  readonly address: AddressClaim;
}

export interface Holdings {
  readonly committed: Sums;
  readonly pending: Sums;
  pool(name: string): PoolSums;
  /** The twin's networks of that name; one that is being changed has two claims. */
  networks(twin: number, name: string): readonly NetworkHolder[];
  /** The twin's machines with a private address on the network of that name. */
  machines(twin: number, network: string): readonly AddressHolder[];
  /** Who has that private address on that network of the twin, the last to get it. */
  address(twin: number, network: string, ip: string): AddressHolder | undefined;
  /** Networks that have the WireGuard port. */
  ports(port: number): readonly Holder[];
  /** Machines that have the GPU. */
  gpus(id: string): readonly Holder[];
}

/** Workloads of one deployment that a plan does not count. */
export interface Left {
  readonly twin: number;
  readonly contract: bigint;
  readonly workloads: ReadonlySet<string>;
  /** Of these it counts what they hold now, and not what a pending change will add. */
  readonly unchanged?: ReadonlySet<string>;
}

/** What the engine knows of a workload type: how one is made of small steps, each safe to run again. */
import type { flist } from '../../modules/flistd/interface.ts';
import type { network, networkInventory } from '../../modules/networkd/interface.ts';
import type { storage, storagePlacement } from '../../modules/storaged/interface.ts';
import type { vmd } from '../../modules/vmd/interface.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import { isZbusError } from '../../modules/zbus/errors.ts';
import type { Deployment, Workload } from '../../schemas/deployment.ts';
import type { Stage } from '../../schemas/errors/table.ts';
import type { WorkloadRequest } from '../plan/request.ts';

/** The daemons that hold resources, by their own bus interfaces. */
export interface Daemons {
  readonly storage: Client<typeof storage>;
  /** Where storaged takes wishes. */
  readonly placement?: Client<typeof storagePlacement>;
  readonly network: Client<typeof network>;
  /** Where taps are told whose they are. */
  readonly networkInventory: Pick<Client<typeof networkInventory>, 'Claim'>;
  readonly flist: Client<typeof flist>;
  readonly vmd: Client<typeof vmd>;
}

/** Kernel and first root file system of machines whose image brings none. */
export interface GuestBoot {
  readonly kernel: string;
  readonly initrd: string;
}

/** Passed to every bus call a step makes. */
export interface Calling {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** One workload of an accepted deployment. */
export interface Scope {
  /** `<twin>-<contract>-<name>`. */
  readonly id: string;
  readonly workload: Workload;
  readonly deployment: Deployment;
  readonly daemons: Daemons;
  readonly guest: GuestBoot;
}

/** The daemon whose work a step is, in the words of errors. */
export type StepStage = Extract<Stage, 'storage' | 'network' | 'flist' | 'machine'>;

export interface Step {
  readonly name: string;
  readonly stage: StepStage;
  /** Milliseconds one attempt may take. */
  readonly deadlineMs: number;
  /** Bytes it takes of a pool; such steps run before dependencies are waited for. */
  readonly allocatesBytes?: number;
  /** It takes them for something that has its pool already. */
  readonly grows?: boolean;
  /**
   * Whether the place of tenants' data that this step makes is there. For a workload that ran it
   * never is made anew: an empty one would hide the loss.
   */
  readonly hasData?: (calling: Calling) => Promise<boolean>;
  /** Begins the text of its errors where existing clients know it. */
  readonly failure?: string;
  /** Makes it so; does nothing where it is so already. */
  readonly ensure: (calling: Calling) => Promise<void>;
  /** Undoes it, whether it was done, half done or never begun; resolves when that is confirmed. */
  readonly undo: (calling: Calling) => Promise<void>;
}

/** The work on one workload in one run; steps hand values to later steps inside. */
export interface Work {
  readonly steps: readonly Step[];
  /** Whether the whole workload runs already. */
  readonly present: (calling: Calling) => Promise<boolean>;
  /** Stops or goes on, keeping everything it holds; types without it are only flagged. May be called twice. */
  readonly pause?: (paused: boolean, calling: Calling) => Promise<void>;
  /** The type's result as JSON text, empty for null. */
  readonly result: (calling: Calling) => Promise<string>;
}

export interface WorkloadDriver {
  readonly type: string;
  /** What it asks of the node. */
  readonly request: (workload: Workload, id: string) => WorkloadRequest;
  readonly work: (scope: Scope) => Work;
  /**
   * Makes a running one what the second scope says, and `undo` makes it again what the first one
   * says. Types that only come and go have none.
   */
  readonly change?: (from: Scope, to: Scope) => Step;
}

/**
 * Removes something and confirms it. The daemon is told even if nothing is there
 * yet: its answer comes behind a call that still makes the thing, whose caller
 * gave up. Some daemons refuse what they never had; that is gone, too.
 */
export async function removeConfirmed(
  what: string,
  remove: () => Promise<void>,
  isThere: () => Promise<boolean>,
): Promise<void> {
  try {
    await remove();
  } catch (error) {
    if (!isZbusError(error, 'call_failed') || (await isThere())) throw error;
  }
  if (await isThere()) throw new Error(`${what} is still there after it was removed`);
}

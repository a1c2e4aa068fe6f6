/** What runs virtual machines: QEMU, or books alone. The registry of machines and the bus object are the same for both. */
import type { MachineConfig } from '../config.ts';
import type { TapCounters } from '../taps.ts';

/** One machine, whatever runs it. Changes take turns. */
export interface VirtualMachine {
  readonly config: MachineConfig;
  /** Whether it runs or is about to be started again. */
  readonly exists: boolean;
  /** File that holds its console's last words; there may be none. */
  readonly consoleLog: string;
  /** First start. Leaves nothing behind where it fails. */
  start(): Promise<void>;
  /** Takes over what an earlier process of this daemon started. */
  adopt(): Promise<void>;
  /** Ends the machine and removes all that belongs to it. */
  delete(): Promise<void>;
  /** Lets go of the machine, which runs on. */
  detach(): Promise<void>;
  /** Looks after what no event tells; called every few seconds. */
  tend(): Promise<void>;
  /** Pauses or resumes the guest's processors. */
  lock(paused: boolean): Promise<void>;
  inspect(): Promise<{ readonly cpus: number; readonly memoryMib: number }>;
}

/** `removed` is called when nothing is left of a machine. */
export type Removed = (name: string) => void;

/** What the host has of machines. */
export interface MachineItem {
  /** `machine` has a record, and all its parts with it; the others are parts of machines that have none. */
  readonly kind: 'machine' | 'process' | 'run-folder' | 'control-group' | 'share-lock' | 'console-log';
  /** The machine's name, or the short one that its parts bear. */
  readonly name: string;
  /** The machine's name; empty where nothing tells it. */
  readonly machine: string;
  readonly bytes: number;
  /** Milliseconds since 1970; 0 where the host does not say. */
  readonly since: number;
  /** Nothing runs in it. */
  readonly residue: boolean;
}

export interface MachineDriver {
  /** Machines from before this start, not adopted yet; what belongs to none of them is removed. */
  found(removed: Removed): Promise<VirtualMachine[]>;
  /** A machine that is not started yet. */
  fresh(config: MachineConfig, removed: Removed): VirtualMachine;
  /** Counters of the host's network devices by name. */
  traffic(): Promise<ReadonlyMap<string, TapCounters>>;
  /** Everything of machines that is on the host, whoever started it. */
  items(): Promise<MachineItem[]>;
  /** Removes one of those, with what runs in it, unless it is of a machine with a record; `machine` itself goes whole. */
  removeItem(kind: MachineItem['kind'], name: string): Promise<void>;
}

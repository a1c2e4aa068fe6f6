/** The published surface: deployments, workload types, commands, capacity, errors. */
export * from './addresses.ts';
export * from './build.ts';
export * from './capacity.ts';
export * from './challenge.ts';
export * from './commands/index.ts';
export * from './deployment.ts';
export * from './errors/index.ts';
export type { ErrorEntry, Fault, Stage } from './errors/table.ts';
export * from './ids.ts';
export { md5, md5Hex } from './md5.ts';
export * from './signatures.ts';
export * from './validate.ts';
export * from './workloads/index.ts';
export { Network, network, Peer } from './workloads/network.ts';
export type { Context, Piece, Reference, WorkloadType } from './workloads/type.ts';
export { Volume, volume } from './workloads/volume.ts';
export { ZMachine, zmachine } from './workloads/zmachine.ts';
export { ZMount, zmount } from './workloads/zmount.ts';

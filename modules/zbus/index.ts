/** The bus: wire types, interface definitions, client, server, events, status. */
export { type BusLog, parseBroker } from './broker.ts';
export { ZbusClient, type ZbusClientOptions } from './client.ts';
export { decode, encode, Typed, ZERO_TIME, zero } from './codec.ts';
export type {
  CallContext,
  CallOptions,
  Client,
  InterfaceDefinition,
  MethodDefinition,
  Order,
  Service,
  StreamValue,
} from './definition.ts';
export { defineInterface } from './definition.ts';
export { isZbusError, type RemoteError, WireError, ZbusError, type ZbusErrorKind } from './errors.ts';
export { Status } from './frames.ts';
export { ZbusServer, type ZbusServerOptions } from './server.ts';
export { currentTrace, newTrace, withTrace } from './trace.ts';
export * from './wire.ts';

/** container: programs of the node in containers, as zdb and qsfs need them. */
import { defineInterface } from '../zbus/definition.ts';
import { Unit } from '../zbus/gridtypes.ts';
import { bool, int64, named, slice, str, struct, time, uint } from '../zbus/wire.ts';

export const ContainerID = named('pkg.ContainerID', str);
/** Nanoseconds. */
export const Duration = named('time.Duration', int64);
export const RootFSPropagation = named('pkg.RootFSPropagation', str);

export const NetworkInfo = struct('pkg.NetworkInfo', { Namespace: str });
export const MountInfo = struct('pkg.MountInfo', { Source: str, Target: str });
export const LogsRedis = struct('logger.LogsRedis', { Stdout: str, Stderr: str });
export const Logs = struct('logger.Logs', { Type: str, Data: LogsRedis });
export const Stats = struct('pkg.Stats', { Type: str, Endpoint: str });

export const Container = struct('pkg.Container', {
  Name: str,
  RootFS: str,
  Env: slice(str),
  WorkingDir: str,
  Network: NetworkInfo,
  Mounts: slice(MountInfo),
  Entrypoint: str,
  Interactive: bool,
  CPU: uint,
  Memory: Unit,
  Logs: slice(Logs),
  Stats: slice(Stats),
  Elevated: bool,
  CreatedAt: time,
  RootFsPropagation: RootFSPropagation,
  ShutdownTimeout: Duration,
});

/** A caller of `Inspect` makes the container only where the error contains `not found`. */
export const container = defineInterface({
  module: 'container',
  object: 'container',
  version: '0.0.1',
  methods: {
    Delete: { args: { ns: str, id: ContainerID }, returns: [], fails: true, order: { by: 'id' } },
    Exec: {
      args: { ns: str, containerID: str, timeout: Duration, args: str },
      returns: [],
      fails: true,
      order: 'read',
      variadic: 'args',
    },
    Inspect: { args: { ns: str, id: ContainerID }, returns: [Container], fails: true, order: 'read' },
    List: { args: { ns: str }, returns: [slice(ContainerID)], fails: true, order: 'read' },
    ListNS: { args: {}, returns: [slice(str)], fails: true, order: 'read' },
    Logs: { args: { ns: str, containerID: str }, returns: [str], fails: true, order: 'read' },
    Run: { args: { ns: str, data: Container }, returns: [ContainerID], fails: true, order: { by: 'data.Name' } },
    SignalDelete: { args: { ns: str, id: ContainerID }, returns: [], fails: true, order: { by: 'id' } },
  },
  streams: {},
});

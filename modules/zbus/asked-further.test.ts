import { expect, it } from 'vitest';
import { remoteOf } from './dispatch.ts';
import { INTERRUPTED, ZbusError } from './errors.ts';

it('a caller hears what the module that its module asked said, or that it may ask again', () => {
  const remote = { code: 'storage_volume_not_found', details: { name: 'a' } };
  expect(remoteOf(new ZbusError('call_failed', 'no volume', { remote }))).toEqual(remote);
  expect(remoteOf(new ZbusError('call_failed', 'text of a daemon in Go'))).toBeUndefined();
  for (const kind of ['no_such_module', 'busy', 'bus_lost', 'deadline', 'cancelled'] as const) {
    const reason = 'storage.VolumeExists: lost';
    expect(remoteOf(new ZbusError(kind, reason))).toEqual({ code: INTERRUPTED, details: { reason } });
  }
  // Modules that disagree on a type do so for ever.
  expect(remoteOf(new ZbusError('protocol', 'unknown object'))).toBeUndefined();
});

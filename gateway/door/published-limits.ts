/** The limits in force, as `zos.limits.get` answers them. */
import { type Limits, MAX_DEPLOYMENT_BYTES, MAX_INPUT_BYTES } from '../../schemas/index.ts';
import { boundsOf } from '../commands/apart.ts';
import { MAX_FRAME_BYTES, MAX_RELAYS, TEXT_LIMITS } from '../rmb/envelope.ts';
import type { DoorLimits } from './limits.ts';

export interface Surroundings {
  readonly requireEncryption: boolean;
  readonly twinCacheMs: number;
  readonly commandDeadlineMs: number;
  readonly nowSeconds: number;
}

export function publishedLimits(door: DoorLimits, around: Surroundings): Limits {
  const apart = boundsOf(door);
  return {
    envelope: {
      size_bytes: door.sizeBytes,
      payload_bytes: door.payloadBytes,
      uid_characters: TEXT_LIMITS.uid,
      tags_characters: TEXT_LIMITS.tags,
      session_characters: TEXT_LIMITS.session,
      command_characters: TEXT_LIMITS.command,
      schema_characters: TEXT_LIMITS.schema,
      federation_characters: TEXT_LIMITS.federation,
      relays: MAX_RELAYS,
      relay_characters: TEXT_LIMITS.relay,
    },
    clock: {
      now: around.nowSeconds,
      lifetime_seconds: door.lifetimeSeconds,
      ahead_seconds: door.aheadSeconds,
    },
    replay: { requests_per_twin: door.replayEntriesPerTwin, requests_in_all: door.replayEntries },
    rate: {
      per_second_per_twin: door.ratePerSecond,
      burst_per_twin: door.rateBurst,
      per_second_in_all: door.ratePerSecondInAll,
      burst_in_all: door.rateBurstInAll,
    },
    concurrency: {
      requests_per_twin: door.concurrencyPerTwin,
      requests_in_all: door.concurrency,
      bytes_in_all: door.bytesInAll,
      twin_lookups: door.lookups,
      waits_per_twin: apart.wait.perTwin,
      waits_in_all: apart.wait.inAll,
      slow_per_twin: apart.slow.perTwin,
      slow_in_all: apart.slow.inAll,
    },
    overload: { wait_ms: door.overloadWaitMs, interval_ms: door.overloadIntervalMs },
    refusals_answered: {
      per_second_per_twin: door.tellPerSecond,
      burst_per_twin: door.tellBurst,
      per_second_in_all: door.tellPerSecondInAll,
    },
    encryption_required: around.requireEncryption,
    twins: { cache_seconds: Math.ceil(around.twinCacheMs / 1000) },
    command: {
      deadline_seconds: Math.ceil(around.commandDeadlineMs / 1000),
      input_bytes: MAX_INPUT_BYTES,
      deployment_bytes: MAX_DEPLOYMENT_BYTES,
    },
    answer: { size_bytes: MAX_FRAME_BYTES },
  };
}

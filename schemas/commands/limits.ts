/** zos.limits.*: what a node accepts, so that a client need not find out by being refused. */
import type { z } from 'zod';
import { described, struct } from '../gojson/codec.ts';
import { bool, count, timestamp, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const Limits = struct(
  'gridnode.Limits',
  {
    envelope: struct(
      'gridnode.EnvelopeLimits',
      {
        size_bytes: described(unit, 'bytes of a whole envelope'),
        payload_bytes: described(unit, 'bytes of its payload as sent; encryption adds 28'),
        uid_characters: described(count, 'characters of the uid'),
        tags_characters: described(count, 'characters of the tags'),
        session_characters: described(count, 'characters of a session'),
        command_characters: described(count, 'characters of the command'),
        schema_characters: described(count, 'characters of the schema'),
        federation_characters: described(count, 'characters of the federation'),
        relays: described(count, 'relays an envelope may name'),
        relay_characters: described(count, "characters of a relay's name"),
      },
      'Of a request.',
    ),
    clock: struct(
      'gridnode.ClockLimits',
      {
        now: described(timestamp, "Unix seconds by the node's clock"),
        lifetime_seconds: described(count, "seconds: a request's expiration is from 1 to this"),
        ahead_seconds: described(count, "seconds that the sender's clock may be ahead"),
      },
      'Of times.',
    ),
    replay: struct(
      'gridnode.ReplayLimits',
      { requests_per_twin: described(count, 'of one twin'), requests_in_all: described(count, 'of all twins') },
      'Unexpired requests that are remembered; beyond, new ones are refused.',
    ),
    rate: struct(
      'gridnode.RateLimits',
      {
        per_second_per_twin: described(count, 'of one twin, a second'),
        burst_per_twin: described(count, 'of one twin, at once'),
        per_second_in_all: described(count, 'of all twins, a second'),
        burst_in_all: described(count, 'of all twins, at once'),
      },
      'Requests a second; bursts are what is accepted at once after a pause.',
    ),
    concurrency: struct(
      'gridnode.ConcurrencyLimits',
      {
        requests_per_twin: described(count, 'of one twin'),
        requests_in_all: described(count, 'of all twins'),
        bytes_in_all: described(unit, 'bytes of all their payloads'),
        twin_lookups: described(count, 'questions to the chain at once'),
        waits_per_twin: described(count, 'of them, `zos.deployment.wait` of one twin'),
        waits_in_all: described(count, 'of them, `zos.deployment.wait` of all twins'),
        slow_per_twin: described(
          count,
          'of them, of one twin, those that look at many things: plan, diagnostics, debug',
        ),
        slow_in_all: described(count, 'of them, such of all twins'),
      },
      'Requests that are being answered.',
    ),
    overload: struct(
      'gridnode.OverloadLimits',
      { wait_ms: described(count, 'milliseconds'), interval_ms: described(count, 'milliseconds') },
      'Requests are turned away when for `interval_ms` none passed the door within `wait_ms`.',
    ),
    refusals_answered: struct(
      'gridnode.RefusalLimits',
      {
        per_second_per_twin: described(count, 'of one twin, a second'),
        burst_per_twin: described(count, 'of one twin, at once'),
        per_second_in_all: described(count, 'of all twins, a second'),
      },
      'Refusals that are answered although the sender had not been verified when they were found.',
    ),
    encryption_required: described(bool, 'whether requests of twins that have a key on the chain must be encrypted'),
    twins: struct(
      'gridnode.TwinLimits',
      { cache_seconds: described(count, 'seconds') },
      'How long what the chain said of a twin is believed, if it tells of no change.',
    ),
    command: struct(
      'gridnode.CommandLimits',
      {
        deadline_seconds: described(count, 'seconds after which an answer says that the command was not finished'),
        input_bytes: described(unit, 'bytes of its input, in clear'),
        deployment_bytes: described(unit, 'bytes of a deployment as its input'),
      },
      'Of a command.',
    ),
    answer: struct(
      'gridnode.AnswerLimits',
      { size_bytes: described(unit, 'bytes of a whole envelope') },
      'Of an answer.',
    ),
  },
  'Every limit that a node has in force.',
);
export type Limits = z.output<typeof Limits>;

export const limitsGet = defineCommand({
  name: 'zos.limits.get',
  summary: 'Every limit in force: sizes, times, rates, numbers.',
  caller: 'any',
  input: nothing,
  output: Limits,
});

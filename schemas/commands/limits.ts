/** zos.limits.*: what a node accepts, so that a client need not find out by being refused. */
import type { z } from 'zod';
import { struct } from '../gojson/codec.ts';
import { bool, count, timestamp, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const Limits = struct('gridnode.Limits', {
  /** Of a request. */
  envelope: struct('gridnode.EnvelopeLimits', {
    size_bytes: unit,
    /** As sent: encryption adds 28 bytes. */
    payload_bytes: unit,
    uid_characters: count,
    tags_characters: count,
    session_characters: count,
    command_characters: count,
    schema_characters: count,
    federation_characters: count,
    relays: count,
    relay_characters: count,
  }),
  clock: struct('gridnode.ClockLimits', {
    /** Unix seconds by the node's clock. */
    now: timestamp,
    /** A request's expiration is from 1 to this. */
    lifetime_seconds: count,
    /** The sender's clock may be ahead by this. */
    ahead_seconds: count,
  }),
  /** Unexpired requests that are remembered; beyond, new ones are refused. */
  replay: struct('gridnode.ReplayLimits', { requests_per_twin: count, requests_in_all: count }),
  /** Bursts are what is accepted at once after a pause. */
  rate: struct('gridnode.RateLimits', {
    per_second_per_twin: count,
    burst_per_twin: count,
    per_second_in_all: count,
    burst_in_all: count,
  }),
  /** Requests that are being answered. */
  concurrency: struct('gridnode.ConcurrencyLimits', {
    requests_per_twin: count,
    requests_in_all: count,
    bytes_in_all: unit,
    twin_lookups: count,
  }),
  /** Requests are turned away when for `interval_ms` none passed the door within `wait_ms`. */
  overload: struct('gridnode.OverloadLimits', { wait_ms: count, interval_ms: count }),
  /** Refusals a second that are answered although the sender had not been verified when they were found. */
  refusals_answered: struct('gridnode.RefusalLimits', {
    per_second_per_twin: count,
    burst_per_twin: count,
    per_second_in_all: count,
  }),
  /** Requests of twins that have a key on the chain must be encrypted. */
  encryption_required: bool,
  /** How long what the chain said of a twin is believed, if it tells of no change. */
  twins: struct('gridnode.TwinLimits', { cache_seconds: count }),
  command: struct('gridnode.CommandLimits', {
    /** After it an answer says that the command was not finished. */
    deadline_seconds: count,
    /** Of a command's input, in clear. */
    input_bytes: unit,
    deployment_bytes: unit,
  }),
  answer: struct('gridnode.AnswerLimits', { size_bytes: unit }),
});
export type Limits = z.output<typeof Limits>;

export const limitsGet = defineCommand({
  name: 'zos.limits.get',
  summary: 'Every limit in force: sizes, times, rates, numbers.',
  caller: 'any',
  input: nothing,
  output: Limits,
});

/**
 * The four classes of prom-client that daemons use. The package as a whole loads a gateway client and cluster
 * support, too: 16 MiB and a tenth of a second in each process.
 */
import { createRequire } from 'node:module';
import type * as prom from 'prom-client';

const require = createRequire(import.meta.url);

export const Registry = require('prom-client/lib/registry.js') as typeof prom.Registry;
export type Registry = prom.Registry;
export const Counter = require('prom-client/lib/counter.js') as typeof prom.Counter;
export type Counter<L extends string = string> = prom.Counter<L>;
export const Gauge = require('prom-client/lib/gauge.js') as typeof prom.Gauge;
export type Gauge<L extends string = string> = prom.Gauge<L>;
export const Histogram = require('prom-client/lib/histogram.js') as typeof prom.Histogram;
export type Histogram<L extends string = string> = prom.Histogram<L>;

import { describe, expect, it } from 'vitest';
import { hitsAt, numberOf, PHASES, Sites } from './points.ts';
import type { Passing } from './tap.ts';

const asked = (call: string, trace: string): Passing => ({
  call,
  moment: 'asked',
  module: call.split('.')[0] ?? '',
  trace,
});
const SITES = ['storage.Metrics asked #1', 'provision.CreateOrUpdate asked #1', 'vmd.Run answered #1'];

describe('points of a real node', () => {
  it('are calls of the deployment, not what the node asks by its clocks', () => {
    const sites = new Sites();
    sites.begin('create');
    const names = [
      asked('api-gateway.Node', 'comparison'),
      asked('provision.CreateOrUpdate', 'request'),
      asked('api-gateway.Node', 'request'),
      asked('storage.Metrics', 'statistics'),
      asked('provision.Changes', 'request'),
      asked('storage.DiskCreate', 'request'),
      asked('storage.DiskCreate', 'request'),
    ].map((one) => sites.name(one));
    expect(names).toEqual([
      undefined,
      'provision.CreateOrUpdate asked #1',
      'api-gateway.Node asked #1',
      undefined,
      undefined,
      'storage.DiskCreate asked #1',
      'storage.DiskCreate asked #2',
    ]);
  });

  it('are named anew in each phase; what a cancellation asks of the chain is one, however often it asks', () => {
    const sites = new Sites();
    sites.begin('create');
    sites.name(asked('provision.CreateOrUpdate', 'request'));
    sites.name(asked('storage.DiskExists', 'request'));
    sites.begin('delete');
    expect(sites.name(asked('storage.DiskExists', 'request'))).toBe('storage.DiskExists asked #1');
    expect(sites.name(asked('api-gateway.Contract', 'event'))).toBe('api-gateway.Contract asked #1');
    expect(sites.name(asked('api-gateway.Contract', 'event'))).toBeUndefined();
    expect(sites.name(asked('storage.Metrics', 'statistics'))).toBeUndefined();
  });

  it('are the same in whatever order the sites were passed, and beside whatever other sites', () => {
    for (const phase of PHASES) {
      const numbers = hitsAt(phase, SITES).map(numberOf);
      expect(hitsAt(phase, [...SITES].reverse()).map(numberOf)).toEqual(numbers);
      const more = hitsAt(phase, [...SITES, 'network.CreateNR asked #1']).map(numberOf);
      expect(more).toEqual(expect.arrayContaining(numbers));
      expect(new Set(more).size).toBe(more.length);
    }
  });
});

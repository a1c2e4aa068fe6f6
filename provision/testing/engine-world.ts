/** A folder, a test host in it and engines over the host, for each test of a file; all of it ends with the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { Deployment } from '../../schemas/deployment.ts';
import type { Engine } from '../engine/engine.ts';
import type { EngineLimits } from '../engine/steps.ts';
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import type { Daemons } from '../workloads/workload.ts';
import { acceptOn, Engines } from './engine.ts';
import { TestHost } from './host.ts';

export interface EngineWorld {
  readonly folder: string;
  /** A test may go on with another host. */
  host: TestHost;
  /** An engine over the host's daemons, or those that are given. */
  readonly startEngine: (journal: Journal, daemons?: Daemons, limits?: EngineLimits) => Engine;
  readonly accept: (journal: Journal, deployment: Deployment) => Promise<DeploymentRecord>;
}

/** Called at the top of a test file; made anew before each test. */
export function engineWorld(): EngineWorld {
  const engines = new Engines();
  let folder = '';
  let host: TestHost | undefined;
  const current = (): TestHost => {
    if (host === undefined) throw new Error('the host is made before each test, not before');
    return host;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'engine-'));
    host = new TestHost(folder);
  });
  afterEach(async () => {
    await engines.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    get folder() {
      return folder;
    },
    get host() {
      return current();
    },
    set host(other: TestHost) {
      host = other;
    },
    startEngine: (journal, daemons = current().daemons, limits) => engines.start(journal, daemons, limits),
    accept: (journal, deployment) => acceptOn(current(), journal, deployment),
  };
}

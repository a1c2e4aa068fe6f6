/**
 * The development chain on port 9944 of a network namespace of its own (the
 * caller makes it), as the Go chain client's own tests want it; then those
 * tests. `node chain-scenario.ts TESTBINARY`
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pino } from 'pino';
import { startDevChain } from '../../../gateway/chain/dev/start.ts';
import { run } from '../../../modules/host/run.ts';

/** The bridge to Stellar and contracts between services are not part of the development chain. */
const ABSENT = '^(TestSwapToStellar|TestServiceContract)$';
const TEST_PORT = 9944;

await run('ip', ['link', 'set', 'lo', 'up'], { deadlineMs: 5000 });
const log = pino({ level: 'silent' });
const chain = await startDevChain({ host: '127.0.0.1', port: TEST_PORT, log, timing: { idleBlockMs: 1000 } });
const tests = spawn(process.argv[2] ?? '', ['-test.v', '-test.skip', ABSENT, '-test.timeout', '90s'], {
  stdio: 'inherit',
  env: { ...process.env, CI: '1' },
});
const [code] = await once(tests, 'exit');
await chain.stop();
process.exit(code ?? 1);

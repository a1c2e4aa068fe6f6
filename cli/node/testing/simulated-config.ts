/** Configuration of a simulated node that never ran. */
import { nodeConfig } from '../config.ts';

export const simulatedConfig = nodeConfig.parse({
  ...{ development: true, isolated: false, address: '127.0.0.1', hostAddress: '127.0.0.1', relayDomain: '127.0.0.1' },
  ...{ chain: ['ws://127.0.0.1:1'], relay: ['ws://127.0.0.1:1'], poolSize: 0, devices: [], accel: 'auto' },
  simulated: { cru: 1, mru: 1, sru: 0, hru: 0, delayMs: 0, fail: [], httpPort: 1, webPort: 1 },
  ...{ flistFolder: null, logLevel: 'info' },
});

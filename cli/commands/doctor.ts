import { type Command, readFlags } from '../command.ts';
import {
  checkCgroups,
  checkDevices,
  checkDisk,
  checkFilesystems,
  checkFirmware,
  checkMemory,
  checkNetworking,
  checkNode,
  checkPort,
  checkRoot,
  checkTools,
  checkWireguard,
  type Finding,
} from '../doctor/checks.ts';
import { checkKvm } from '../doctor/kvm.ts';
import { checkLeaks } from '../doctor/leaks.ts';
import { checkGateway } from '../doctor/node.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf, stateFolder } from '../node/layout.ts';
import { supervisorOf } from '../node/lifecycle.ts';
import { chainPort, httpPort, relayPort } from '../node/ports.ts';
import { table } from '../table.ts';

const usage = `usage: gridnode doctor [--state DIR] [--json]

Checks this machine, and a node that runs on it, and says for each finding what
to do. Ends with status 1 when a node cannot run.`;

export const command: Command = {
  usage,
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, json: { type: 'boolean' } }, usage);
    const findings: Finding[] = [
      checkRoot(),
      checkNode(),
      await checkTools(),
      await checkFirmware(),
      await checkFilesystems(),
      await checkDevices(),
      await checkNetworking(),
      await checkWireguard(),
      await checkCgroups(),
      await checkKvm(),
      checkMemory(),
      await checkDisk(stateFolder(values.state)),
      await checkPort(chainPort, 'development chain'),
      await checkPort(relayPort, 'embedded relay'),
      await checkPort(httpPort, 'metrics and health page'),
      ...(await checkRunning(values.state)),
    ];
    if (values.json) {
      process.stdout.write(`${JSON.stringify(findings)}\n`);
    } else {
      const rows = findings.map((finding) => [finding.state, finding.check, finding.found, finding.remedy]);
      process.stdout.write(`${table(['', 'check', 'found', 'what to do'], rows)}\n`);
    }
    return findings.some((finding) => finding.state === 'fail') ? 1 : 0;
  },
};

/** Findings about the node of that state folder, none where none runs. */
async function checkRunning(state: string | undefined): Promise<Finding[]> {
  const layout = layoutOf(state);
  if ((await supervisorOf(layout)) === undefined) return [];
  return [...(await checkGateway(await loadConfig(layout))), ...(await checkLeaks(layout))];
}

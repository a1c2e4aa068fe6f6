/** What the demo's machine runs: busybox, and a page that shows what it was given. */
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DISK_MOUNTPOINT } from './deployment.ts';

const START = `#!/bin/sh
# The deployment's environment variable and disk, shown as a page.
echo "written by the machine" > ${DISK_MOUNTPOINT}/proof
mkdir -p /www
{
  echo "<!doctype html><title>gridnode demo</title>"
  echo "<h1>$GREETING</h1>"
  echo "<p>host: $(hostname)</p>"
  echo "<p>disk: $(grep ' ${DISK_MOUNTPOINT} ' /proc/mounts | cut -d' ' -f1-3), $(df -k ${DISK_MOUNTPOINT} | tail -n 1 | awk '{print $2}') KiB, holds: $(cat ${DISK_MOUNTPOINT}/proof)</p>"
} > /www/index.html
echo "serving"
exec httpd -f -p 80 -h /www
`;

/** Fills `folder` with the machine's tree. */
export async function writeSite(folder: string, busybox = '/bin/busybox'): Promise<void> {
  for (const name of ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'data']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  await copyFile(busybox, join(folder, 'bin', 'busybox'));
  await chmod(join(folder, 'bin', 'busybox'), 0o755);
  for (const applet of ['sh', 'mkdir', 'hostname', 'grep', 'cut', 'df', 'tail', 'awk', 'cat', 'httpd', 'ip', 'ls']) {
    await symlink('busybox', join(folder, 'bin', applet));
  }
  await writeFile(join(folder, 'start.sh'), START, { mode: 0o755 });
  await writeFile(join(folder, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
}

import { describe, expect, it } from 'vitest';
import { listMounts, mountAt, mountsBelow, parseMounts } from './mounts.ts';

const table = [
  '27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard',
  '43 27 254:0 /a\\040b /mnt/with\\040blank ro,nodev - ext4 /dev/vda rw',
  '46 27 0:42 / /mnt/over rw,noatime - overlay overlay rw,lowerdir=/l\\134\\054x,upperdir=/u/rw,workdir=/u/wd',
  '47 27 0:43 / /mnt/over/below rw - tmpfs none rw',
  '48 27 0:44 / /mnt/overlong rw - tmpfs none rw',
  '49 27 0:45 / /mnt/over rw - tmpfs second rw',
  '',
].join('\n');

describe('the mount table', () => {
  const mounts = parseMounts(table);

  it('is read with blanks, optional fields and escaped options', () => {
    expect(mounts).toHaveLength(6);
    expect(mounts[1]).toEqual({
      root: '/a b',
      target: '/mnt/with blank',
      options: ['ro', 'nodev'],
      type: 'ext4',
      source: '/dev/vda',
      superOptions: ['rw'],
    });
    expect(mounts[2]?.superOptions).toEqual(['rw', 'lowerdir=/l,x', 'upperdir=/u/rw', 'workdir=/u/wd']);
  });

  it('names the uppermost mount and those below a folder, last first', () => {
    expect(mountAt('/mnt/over', mounts)?.source).toBe('second');
    expect(mountAt('/mnt/ove', mounts)).toBeUndefined();
    expect(mountsBelow('/mnt/over', mounts).map((mount) => mount.type)).toEqual(['tmpfs', 'tmpfs', 'overlay']);
    expect(mountAt('/', listMounts())).toBeDefined();
  });
});

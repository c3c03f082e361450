import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../lib/bundle.ts';

const npmStart = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'bin/local.ts'), ...args], { encoding: 'utf8' });
  return { status, said: stdout + stderr };
};

describe('design 8: mail servers on this machine are allowed by an explicit option alone', () => {
  test('the help names it', () => {
    expect(npmStart('--help')).toEqual({ status: 0, said: expect.stringContaining('--allow-local-mail-servers') });
  });

  test('a certificate without it is refused', () => {
    const refused = { status: 1, said: expect.stringContaining('--mail-server-ca goes with --allow-local-mail-servers') };
    expect(npmStart('--mail-server-ca', 'test/fixtures/tls/localhost.pem')).toEqual(refused);
  });

  test.each(['package.json', 'nowhere.pem'])('%s is no certificate', (file) => {
    const refused = { status: 1, said: expect.stringContaining('takes a file with a certificate (PEM)') };
    expect(npmStart('--allow-local-mail-servers', '--mail-server-ca', file)).toEqual(refused);
  });
});

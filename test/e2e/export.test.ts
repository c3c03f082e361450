import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { readMbox, readZip } from '../support/archives.ts';
import { fetchMail } from '../support/fetched-mail.ts';
import { type Answer, startHost, type TestHost, until } from '../support/host.ts';
import { mailAccount } from '../support/matrix-cells.ts';
import { expectStatus, rawMailWithFile } from '../support/matrix-people.ts';
import { insideOnly } from '../support/stage.ts';
import { join, newTenant, type Person, rawMail } from '../support/tenant.ts';

const { describe, test } = insideOnly('it hands mail in where a poll does, and has several members');

/** Somebody has left and their mail is backed up: an administrator takes it away, as files that ordinary tools open. */
let host: TestHost;
let admin: Person;
let leaver: Person;
let jun: Person;
let backup: string;
let dir: string;

const TARO = 'taro@customer.example';
const SUBJECTS = ['お見積の件: 第1版', '../../escape', 'From the beginning'];
const body = (subject: string) => `From now on: ${subject}\r\n>From then\r\n`;

beforeAll(async () => {
  dir = mkdtempSync(path(tmpdir(), 'export-'));
  host = await startHost({ throttle: { rate: 10_000, burst: 10_000 } });
  ({ admin } = await newTenant(host));
  await expectStatus(200, admin.api('PATCH', '/v1/organisation', { mailAddOn: 'everyone' }));
  leaver = await join(host, admin, 'leaver@example.com');
  jun = await join(host, admin, 'jun@example.com');
  await expectStatus(201, jun.api('POST', '/v1/contacts', { name: { last: '山田', first: '太郎' }, addresses: [TARO] }));
  const { id: activeMailbox } = (await expectStatus(201, leaver.api('POST', '/v1/mail-accounts', mailAccount(1)))).json;
  const settings = { activeMailbox, fromAddress: leaver.email, sharing: { type: 'public' }, dropboxVisibility: 'record', gather: null };
  await expectStatus(200, leaver.api('PUT', '/v1/mail-settings', settings));
  for (const subject of SUBJECTS) {
    await fetchMail(host, leaver, rawMail({ From: TARO, To: leaver.email, Bcc: 'hidden@example.org', Subject: subject }, body(subject)));
  }
  await fetchMail(host, leaver, rawMailWithFile({ From: TARO, To: leaver.email, Subject: 'With a file' }, 'offer.txt'));
  await expectStatus(200, admin.api('PATCH', `/v1/members/${leaver.id}`, { status: 'deactivated' }));
  const { json } = await expectStatus(202, admin.api('POST', `/v1/addon-users/${leaver.id}/backup`, { scope: 'shared' }));
  backup = json.id;
  await until(async () => (await admin.api('GET', `/v1/backups/${backup}`)).json.state === 'completed');
});
afterAll(async () => {
  await host.end();
  rmSync(dir, { recursive: true });
});

const code = ({ status, json }: Answer) => `${status} ${json?.code}`;
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function made(format: 'zip' | 'mbox') {
  const begun = await expectStatus(202, admin.api('POST', `/v1/backups/${backup}/export`, { format }));
  const at = begun.headers.get('location') as string;
  expect(at).toBe(`/v1/backups/${backup}/export/${format}`);
  return until(async () => {
    const { json } = await admin.api('GET', at);
    return json.state === 'completed' ? json : undefined;
  });
}

/** As a browser would save it: the name that the link gives it. */
async function download(format: string, file: number): Promise<{ name: string; bytes: Buffer }> {
  const { headers } = await expectStatus(302, admin.api('GET', `/v1/backups/${backup}/export/${format}/files/${file}`));
  const answer = await fetch(headers.get('location') as string);
  const [, name = ''] = /^attachment; filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '') ?? [];
  return { name, bytes: Buffer.from(await answer.arrayBuffer()) };
}

/** Runs a tool; undefined, said aloud, where this machine has none. */
function tool(command: string, args: string[], cwd = dir): string | undefined {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8' });
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    console.warn(`${command} is not on this machine: not tried with it`);
    return undefined;
  }
}

describe('an export', () => {
  test('as a zip: its files are what the export says, unzip and sha256sum find nothing wrong, and names cannot leave their folder', async () => {
    const shown = await made('zip');
    expect(shown).toMatchObject({ state: 'completed', format: 'zip', progress: { done: 4, total: 4, missing: 0 } });
    const { name, bytes } = await download('zip', 1);
    expect(shown.files).toEqual([{ file: 1, name, bytes: bytes.length, sha256: sha(bytes) }]);
    expect(name).toBe(`backup-${backup}.zip`);

    const files = readZip(bytes);
    const mails = [...files].filter(([file]) => file.endsWith('.eml'));
    expect(
      mails.map(([file]) =>
        file
          .replace(/[0-9a-z]{26}(?=\/)/, 'ID')
          .replace(/\d{4}-\d\d-\d\d/, 'DAY')
          .replace(/[0-9a-f]{40}/, 'ID'),
      ),
    ).toEqual([
      'contacts/山田 太郎-ID/DAY-お見積の件_ 第1版-ID.eml',
      'contacts/山田 太郎-ID/DAY-_.._escape-ID.eml',
      'contacts/山田 太郎-ID/DAY-From the beginning-ID.eml',
      'contacts/山田 太郎-ID/DAY-With a file-ID.eml',
    ]);
    for (const [i, subject] of SUBJECTS.entries()) {
      const text = mails[i]?.[1].toString() ?? '';
      expect(text.endsWith(`\r\n\r\n${body(subject)}`)).toBe(true);
      expect(text).not.toMatch(/^bcc:|hidden@/im);
    }
    expect(JSON.parse(files.get('manifest.json')?.toString() ?? '')).toMatchObject({
      export: { by: admin.id },
      backup: { id: backup, scope: 'shared', member: leaver.id },
      counts: { mails: 4, files: 4, missing: 0 },
      mails: mails.map(([file, content]) => ({ files: [file], sha256: sha(content), bytes: content.length })),
    });

    writeFileSync(path(dir, name), bytes);
    expect(tool('unzip', ['-t', name]) ?? 'No errors').toContain('No errors');
    const unpacked = path(dir, 'unpacked');
    if (tool('unzip', ['-q', name, '-d', unpacked]) === undefined) return;
    const sums = readFileSync(path(unpacked, 'SHA256SUMS'), 'utf8').trim().split('\n').length;
    expect((tool('sha256sum', ['-c', 'SHA256SUMS'], unpacked) ?? 'OK\n'.repeat(sums)).match(/OK$/gm)).toHaveLength(sums);
  });

  test('as an mbox: our strict reader and the one of Python find each mail', async () => {
    const shown = await made('mbox');
    const [mbox, manifest] = [await download('mbox', 1), await download('mbox', 2)];
    expect(shown.files).toEqual(
      [mbox, manifest].map(({ name, bytes }, i) => ({ file: i + 1, name, bytes: bytes.length, sha256: sha(bytes) })),
    );
    const listed = JSON.parse(manifest.bytes.toString()).mails as { bytes: number; sha256: string }[];
    expect(readMbox(mbox.bytes).map(({ bytes }, i) => sha(bytes.subarray(0, listed[i]?.bytes)))).toEqual(
      listed.map(({ sha256 }) => sha256),
    );
    expect(listed).toHaveLength(4);

    writeFileSync(path(dir, mbox.name), mbox.bytes);
    const script = `import mailbox, sys
for mail in mailbox.mbox(sys.argv[1]): print(mail['Subject'], len(mail.get_payload()) > 0)`;
    const read = tool('python3', ['-c', script, mbox.name]);
    if (read !== undefined) expect(read.trim().split('\n')).toHaveLength(4);
  });

  test('who asked for each is told by mail, once, with its link', async () => {
    const noticesOf = async (format: string) => {
      const mails = (await host.outbox()).filter(({ destinations }) => destinations.includes(admin.email));
      const texts = await Promise.all(mails.map(async ({ raw }) => (await raw()).replace(/=\r?\n/g, '')));
      return texts.filter((text) => text.includes(`/v1/backups/${backup}/export/${format}`));
    };
    for (const format of ['zip', 'mbox']) {
      await until(async () => (await noticesOf(format)).length > 0);
      expect(await noticesOf(format)).toHaveLength(1);
    }
    expect(code(await admin.api('POST', `/v1/backups/${backup}/export/zip/cancel`))).toBe('409 not-running');
  });

  test('GEN-3: administrators alone; nothing is told of one that was not asked for, and nothing given of one that is gone', async () => {
    expect(code(await jun.api('POST', `/v1/backups/${backup}/export`, { format: 'zip' }))).toBe('403 administrators-only');
    expect(code(await jun.api('GET', `/v1/backups/${backup}/export/zip/files/1`))).toBe('403 administrators-only');
    expect(code(await jun.api('POST', `/v1/backups/${backup}/export/zip/cancel`))).toBe('403 administrators-only');
    expect(code(await admin.api('POST', `/v1/backups/${backup}/export`, { format: 'pst' }))).toBe('422 invalid-body');
    expect(code(await admin.api('GET', `/v1/backups/${backup}/export/zip/files/2`))).toBe('404 not-found');
    expect(code(await admin.api('GET', `/v1/backups/${backup}/export/pst`))).toBe('404 not-found');
    expect(code(await admin.api('GET', `/v1/backups/${'0'.repeat(26)}/export/zip`))).toBe('404 not-found');
  });

  test('the audit tells who asked for it, what came of it, and who took each file', async () => {
    const { items } = (await admin.api('GET', '/v1/audit?limit=100')).json as {
      items: { actor: string; action: string; after: { what?: string } }[];
    };
    const told = items
      .filter(({ action }) => /^backup\.(export|download)/.test(action))
      .map(({ action, after }) => [action, after.what].join(' ').trim());
    expect(told.sort()).toEqual(
      [
        ...['backup.export', 'backup.export', 'backup.export-complete', 'backup.export-complete'],
        ...[`backup-${backup}.zip`, `backup-${backup}.mbox`, `backup-${backup}.manifest.json`].map((name) => `backup.download ${name}`),
      ].sort(),
    );
  });
});

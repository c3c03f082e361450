import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Export, type ExportJob, exportView, filesOf } from '../../core/backup/export.ts';
import { cancelExport, findExport, findFile, noteExportNoticeSent, startExport } from '../../core/backup/export-store.ts';
import { tellExporter } from '../../core/backup/notice-store.ts';
import { runExport } from '../../core/backup/run-export.ts';
import { sweepExports } from '../../core/backup/sweep-store.ts';
import type { TenantId } from '../../core/ids.ts';
import {
  EXPORT_COPIES_BYTES,
  EXPORT_DAYS,
  EXPORT_LEASE_SECONDS,
  EXPORT_PULSE_SECONDS,
  EXPORT_TRIES,
  MAX_MAIL_BYTES,
} from '../../core/limits.ts';
import { copyKey, exportKey, type Key, messageKey, recordKey, runningExportsPartition } from '../../core/table/keys.ts';
import { readMbox, readZip } from '../support/archives.ts';
import { BackupWorld, FRIEND, TARO } from '../support/backup-world.ts';
import { MAIL_DOMAIN } from '../support/dropbox-world.ts';
import { startTable } from '../support/engine.ts';

let engine: Awaited<ReturnType<typeof startTable>>;
let world: BackupWorld;

beforeAll(async () => {
  engine = await startTable();
});
afterAll(() => engine.end());
beforeEach(async () => {
  // What other tests have left running is not to be found by the sweep.
  await engine.table.deleteMany(await engine.table.all<Key>({ pk: runningExportsPartition }));
  world = await new BackupWorld(engine.table).begin();
});

/** Sent by the leaver to both records. */
const ON_TWO = {
  from: [{ address: 'leaver@example.com', name: '' }],
  to: [TARO, FRIEND].map((address) => ({ address, name: '' })),
};

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const problem = (call: Promise<unknown>) =>
  call.then(
    () => 'none',
    ({ status, code }) => `${status} ${code}`,
  );
const contentOf = (one: Export, n = 0) => Buffer.from(world.files.get(filesOf(one)[n]?.key ?? '') as Uint8Array);
const manifestOf = (files: Map<string, Buffer>, name = 'manifest.json') => JSON.parse(files.get(name)?.toString() ?? 'null');

/** A mail of the mailbox with these raw bytes, as the leaver holds it. */
async function fetched(subject: string, raw: string, more: object = {}): Promise<string> {
  const key = await world.fetched(subject, more);
  world.files.set(key, Buffer.from(raw, 'latin1'));
  return key;
}

async function backedUp(): Promise<string> {
  await world.setStatus('deactivated');
  const backup = await world.backUp();
  expect(backup.state).toBe('completed');
  return backup.id;
}

async function exported(
  backup: string,
  format: 'zip' | 'mbox' = 'zip',
  more: Parameters<BackupWorld['workExports']>[0] = {},
): Promise<Export> {
  await world.startExport(backup, format);
  await world.workExports(more);
  const one = await world.readExport(backup, format);
  expect(one.state).toBe('completed');
  return one;
}

/** What `sha256sum -c` would say: each line's file is there with that sum, and there is no other file. */
function expectSums(files: Map<string, Buffer>, name = 'SHA256SUMS'): void {
  const lines = (files.get(name)?.toString() ?? '').split('\n').filter((line) => line !== '');
  const listed = lines.map((line) => {
    const [, sum, path = ''] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    expect([path, sha(files.get(path) as Buffer)]).toEqual([path, sum]);
    return path;
  });
  expect([...listed, name].sort()).toEqual([...files.keys()].sort());
}

describe('a zip', () => {
  test('has each mail under each of its records, with a manifest that names all of them, and sums of all files', async () => {
    const one = await fetched('Offer: 50 %', 'Subject: one\r\n\r\nbody\r\n');
    await fetched('Both', 'Subject: both\r\n\r\n', ON_TWO);
    const backup = await backedUp();
    const made = await exported(backup);
    const [file] = filesOf(made);
    const content = contentOf(made);
    expect(file).toMatchObject({
      name: `backup-${backup}.zip`,
      bytes: content.length,
      sha256: sha(content),
      contentType: 'application/zip',
    });
    const files = readZip(content);
    expectSums(files);
    const paths = [...files.keys()].filter((path) => path.endsWith('.eml'));
    expect(paths.map((path) => path.replace(/[0-9a-f]{40}/, 'ID')).sort()).toEqual(
      [
        `contacts/Known Customer-${world.contact}/2026-03-02-Offer_ 50 %-ID.eml`,
        `contacts/Known Customer-${world.contact}/2026-03-02-Both-ID.eml`,
        `leads/Known Customer-${world.lead}/2026-03-02-Both-ID.eml`,
      ].sort(),
    );
    expect(files.get(paths.find((path) => path.includes('Offer')) as string)).toEqual(Buffer.from(world.files.get(one) as Uint8Array));
    expect(manifestOf(files)).toMatchObject({
      version: 1,
      export: { format: 'zip', volume: 1, by: world.admin.member, at: made.startedAt },
      backup: { id: backup, scope: 'shared', member: world.leaver.member, startedBy: world.admin.member },
      counts: { mails: 2, files: 3, missing: 0, damaged: 0 },
      mails: [
        { direction: 'received', bytes: 22, sha256: sha(Buffer.from('Subject: one\r\n\r\nbody\r\n')), records: [{ module: 'contacts' }] },
        { files: [expect.any(String), expect.any(String)], records: [{}, {}] },
      ],
    });
  });

  test('R-31, RFC 5322 3.6.3: neither BCC, nor how it came to somebody else, nor dropbox addresses; the sum is of what is given out', async () => {
    const secret = 'a'.repeat(26);
    const raw = `Received: from x\r\nBcc: hidden@example.org\r\nSubject: s\r\nTo: ${secret}@${MAIL_DOMAIN}\r\n\r\nbody\r\n`;
    const own = await fetched('own bytes', raw);
    await fetched(`secret ${secret}@${MAIL_DOMAIN}`, raw.replace('body', 'other'));
    const backup = await backedUp();
    // The bytes of the second are those of another one who holds it.
    const files = readZip(contentOf(await exported(backup)));
    const [first, second] = manifestOf(files).mails as { message: string; files: string[]; sha256: string; rawSha256: string }[];
    const shown = `Received: from x\r\nSubject: s\r\nTo: ${'x'.repeat(26)}@${MAIL_DOMAIN}\r\n\r\nbody\r\n`;
    expect(files.get(first?.files[0] ?? '')?.toString()).toBe(shown);
    expect([first?.sha256, first?.rawSha256]).toEqual([sha(Buffer.from(shown)), sha(world.files.get(own) as Uint8Array)]);
    expect([...files.keys()].join() + [...files.values()].join()).not.toContain(secret);

    await world.table.update(messageKey(world.leaver.tenant, second?.message ?? ''), {
      update: 'SET delivery = :other',
      values: { ':other': 'of somebody else' },
    });
    await expire(backup);
    const again = readZip(contentOf(await exported(backup)));
    expect(again.get(first?.files[0] ?? '')?.toString()).toContain('Received');
    expect(again.get(second?.files[0] ?? '')?.toString()).not.toContain('Received');
  });

  test('what is gone from the table is no reason to leave a mail out; of bytes that nobody can tell whose they are, no trace is shown', async () => {
    await fetched('named', 'Received: from x\r\nSubject: s\r\n\r\n');
    const backup = await backedUp();
    const { tenant, member } = world.leaver;
    const before = readZip(contentOf(await exported(backup)));
    const [{ message }] = manifestOf(before).mails;
    for (const key of [messageKey(tenant, message), copyKey(tenant, message, member, 'mailbox'), recordKey(tenant, world.contact)]) {
      await world.table.delete(key);
    }
    await expire(backup);
    const files = readZip(contentOf(await exported(backup)));
    const [path = ''] = files.keys();
    expect(path).toMatch(new RegExp(`^contacts/unnamed-${world.contact}/2026-03-02-named-`));
    expect(files.get(path)?.toString()).toBe('Subject: s\r\n\r\n');
  });

  test('a mail whose bytes are gone is named as missing', async () => {
    const gone = await fetched('gone', 'x');
    await fetched('there', 'y');
    const backup = await backedUp();
    world.files.delete(gone);
    const made = await exported(backup);
    const files = readZip(contentOf(made));
    expectSums(files);
    expect(manifestOf(files)).toMatchObject({
      counts: { mails: 2, files: 1, missing: 1 },
      mails: [{ missing: true, rawSha256: sha(Buffer.from('x')) }, { bytes: 1 }],
    });
    expect(made.volumes).toMatchObject([{ mails: 2, missing: 1 }]);
  });

  test('reliability 40: a mail whose bytes are not those that the backup noted lies apart, and the manifest and the export say so', async () => {
    const changed = await fetched('changed', 'as it came');
    const raw = 'Bcc: hidden@example.org\r\nSubject: s\r\n\r\n';
    // What is hidden of a mail makes nothing else of it.
    await fetched('good', raw);
    const backup = await backedUp();
    world.files.set(changed, Buffer.from('as it never came'));
    const made = await exported(backup);
    const files = readZip(contentOf(made));
    expectSums(files);
    const [damaged, good] = manifestOf(files).mails as { files: string[]; damaged?: true }[];
    expect(manifestOf(files).counts).toMatchObject({ mails: 2, files: 2, missing: 0, damaged: 1 });
    expect(damaged).toMatchObject({
      damaged: true,
      sha256: sha(Buffer.from('as it never came')),
      rawSha256: sha(Buffer.from('as it came')),
    });
    expect(damaged?.files).toEqual([expect.stringMatching(/^damaged\/contacts\//)]);
    expect([files.get(damaged?.files[0] ?? '')?.toString(), good?.damaged]).toEqual(['as it never came', undefined]);
    expect(made.volumes).toMatchObject([{ mails: 2, missing: 0, damaged: 1 }]);
    expect(exportView(made, world.now).progress).toMatchObject({ done: 2, missing: 0, damaged: 1 });
  });

  test('a mail too large for the folders of all its records lies in that of the first, and the manifest names all of them', async () => {
    const [large, small] = [await fetched('large', 'x'), await fetched('small', 'y')];
    expect(large).not.toBe(small);
    const backup = await backedUp();
    const bytes = Buffer.alloc(MAX_MAIL_BYTES, 'From: a\r\n\r\n');
    world.files.set(large, bytes);
    const manifest = await world.manifest(backup);
    const lines = Buffer.from(world.files.get(manifest.parts[0].key) as Uint8Array)
      .toString()
      .trim()
      .split('\n');
    const [first, ...others] = lines.map((line) => JSON.parse(line));
    const records = Array.from({ length: 1000 }, (_, i) => ({ module: 'contacts', id: `record-${i}` }));
    await replaceManifest(backup, manifest, [{ ...first, records, bytes: bytes.length, sha256: sha(bytes) }, ...others]);
    await world.startExport(backup);
    await world.workExports();
    const made = await world.readExport(backup);
    // One turn, and both mails in it: a copy in each folder would be 42 GB.
    expect([made.state, made.volumes.map(({ mails }) => mails)]).toEqual(['completed', [2]]);
    const files = readZip(contentOf(made));
    expectSums(files);
    const path = [...files.keys()].find((file) => file.startsWith('contacts/unnamed-record-0/')) as string;
    expect(files.get(path)?.equals(bytes)).toBe(true);
    expect(manifestOf(files)).toMatchObject({ counts: { mails: 2, files: 2 }, mails: [{ records, files: [path] }, {}] });
  });

  test('a mail on a thousand records that is small enough lies in the folder of each', async () => {
    await fetched('small', 'y');
    const backup = await backedUp();
    const manifest = await world.manifest(backup);
    const line = JSON.parse(Buffer.from(world.files.get(manifest.parts[0].key) as Uint8Array).toString());
    const records = Array.from({ length: 1000 }, (_, i) => ({ module: 'contacts', id: `record-${i}` }));
    const bytes = Math.floor(EXPORT_COPIES_BYTES / 1000);
    await replaceManifest(backup, manifest, [{ ...line, records, bytes }]);
    const files = readZip(contentOf(await exported(backup, 'zip', { volumeMails: 10 })));
    expect([...files.keys()].filter((path) => path.endsWith('.eml'))).toHaveLength(1000);
  });

  test('a backup without a mail is a zip with nothing but its manifest', async () => {
    const files = readZip(contentOf(await exported(await backedUp())));
    expectSums(files);
    expect([...files.keys()]).toEqual(['manifest.json', 'SHA256SUMS']);
  });

  test('R-17: of a later backup it is the whole result, each mail once', async () => {
    await fetched('first', 'one');
    await backedUp();
    await world.setStatus('active');
    await world.saveSettings();
    await fetched('second', 'two');
    await world.setStatus('deactivated');
    const { id } = await world.backUp('latest-backup');
    const files = readZip(contentOf(await exported(id)));
    expect([...files].filter(([path]) => path.endsWith('.eml')).map(([, bytes]) => bytes.toString())).toEqual(['one', 'two']);
  });
});

describe('an mbox', () => {
  test('has each mail once, on however many records it is, and a manifest beside it', async () => {
    await fetched('plain', 'From: a\r\n\r\nFrom here\r\n>From there\r\n');
    await fetched('both', 'Subject: both\r\n\r\nend', ON_TWO);
    const gone = await fetched('gone', 'x');
    const backup = await backedUp();
    world.files.delete(gone);
    const made = await exported(backup, 'mbox');
    expect(filesOf(made).map(({ name, contentType }) => [name, contentType])).toEqual([
      [`backup-${backup}.mbox`, 'application/mbox'],
      [`backup-${backup}.manifest.json`, 'application/json'],
    ]);
    for (const [n, { bytes, sha256 }] of filesOf(made).entries()) {
      expect([bytes, sha256]).toEqual([contentOf(made, n).length, sha(contentOf(made, n))]);
    }
    const manifest = JSON.parse(contentOf(made, 1).toString());
    expect(manifest).toMatchObject({ export: { format: 'mbox' }, counts: { mails: 3, missing: 1 } });
    const given = (manifest.mails as { bytes: number; sha256: string; missing?: true }[]).filter(({ missing }) => !missing);
    const read = readMbox(contentOf(made, 0));
    // The manifest says how long a mail is: behind one without a line feed at its end there is one more.
    expect(read.map(({ bytes }, i) => sha(bytes.subarray(0, given[i]?.bytes)))).toEqual(given.map(({ sha256 }) => sha256));
    expect(read[0]?.bytes.toString()).toBe('From: a\r\n\r\nFrom here\r\n>From there\r\n');
    expect(read[0]?.from).toMatch(/^From MAILER-DAEMON Mon Mar {2}2 09:\d\d:\d\d 2026$/);
  });

  test('a mail whose bytes are not those that the backup noted is named, and not among the good ones', async () => {
    const changed = await fetched('changed', 'as it came');
    await fetched('good', 'good\n');
    const backup = await backedUp();
    world.files.set(changed, Buffer.from('as it never came'));
    const made = await exported(backup, 'mbox');
    expect(readMbox(contentOf(made, 0)).map(({ bytes }) => bytes.toString())).toEqual(['good\n']);
    expect(JSON.parse(contentOf(made, 1).toString())).toMatchObject({
      counts: { mails: 2, missing: 0, damaged: 1 },
      mails: [{ damaged: true, bytes: 0, rawSha256: sha(Buffer.from('as it came')) }, { bytes: 5 }],
    });
    expect(made.volumes).toMatchObject([{ mails: 2, damaged: 1 }]);
  });

  test('a mail that a later backup shows on further records is not in it twice', async () => {
    await fetched('on two', 'once', ON_TWO);
    const backup = await backedUp();
    const manifest = await world.manifest(backup);
    const [part] = manifest.parts;
    const line = JSON.parse(Buffer.from(world.files.get(part.key) as Uint8Array).toString());
    // As a latest backup writes it when the mail has come to a further record since.
    const split = [
      { ...line, records: [line.records[0]] },
      { ...line, records: [line.records[1]], again: true },
    ];
    await replaceManifest(backup, manifest, split);
    const made = await exported(backup, 'mbox');
    expect(readMbox(contentOf(made)).map(({ bytes }) => bytes.toString())).toEqual(['once\n']);
    expect(JSON.parse(contentOf(made, 1).toString()).mails).toMatchObject([{ bytes: 4 }, { again: true, records: [split[1]?.records[0]] }]);
    const files = readZip(contentOf(await exported(backup, 'zip')));
    expect([...files.keys()].filter((path) => path.endsWith('.eml'))).toHaveLength(2);
    // In a zip each line has a file of its own: when the bytes are gone, both lines say so.
    world.files.delete(line.rawKey);
    await expire(backup);
    expect(manifestOf(readZip(contentOf(await exported(backup, 'zip')))).mails).toMatchObject([{ missing: true }, { missing: true }]);
  });
});

describe('volumes', () => {
  test('one begins where the one before ended, at its limit of mails, and together they are the export', async () => {
    const subjects = ['a', 'b', 'c', 'd', 'e'];
    for (const subject of subjects) await fetched(subject, `mail ${subject}`);
    const made = await exported(await backedUp(), 'zip', { volumeMails: 2 });
    expect(made.volumes.map(({ mails }) => mails)).toEqual([2, 2, 1]);
    const names = filesOf(made).map(({ name }) => name.replace(/[0-9a-z]{26}/, 'ID'));
    expect(names).toEqual(['backup-ID.zip', 'backup-ID-2.zip', 'backup-ID-3.zip']);
    const all = new Map<string, Buffer>();
    for (const n of [0, 1, 2]) {
      const files = readZip(contentOf(made, n));
      expectSums(files, n === 0 ? 'SHA256SUMS' : `SHA256SUMS-${n + 1}`);
      for (const [path, bytes] of files) {
        expect(all.has(path)).toBe(false);
        all.set(path, bytes);
      }
    }
    expect([...all].filter(([path]) => path.endsWith('.eml')).map(([, bytes]) => bytes.toString())).toEqual(
      subjects.map((s) => `mail ${s}`),
    );
  });

  test('a mail on several records takes as many places, and a mail beyond every limit still has a volume', async () => {
    await fetched('on two', 'two', ON_TWO);
    await fetched('one', 'one');
    const backup = await backedUp();
    expect((await exported(backup, 'zip', { volumeMails: 2 })).volumes.map(({ mails }) => mails)).toEqual([1, 1]);
    await expire(backup);
    expect((await exported(backup, 'zip', { volumeMails: 3 })).volumes.map(({ mails }) => mails)).toEqual([2]);
    await expire(backup);
    expect((await exported(backup, 'zip', { volumeMails: 1 })).volumes.map(({ mails }) => mails)).toEqual([1, 1]);
  });

  test('the limit of bytes', async () => {
    for (const subject of ['a', 'b', 'c']) await fetched(subject, `mail ${subject}`);
    const backup = await backedUp();
    expect((await exported(backup, 'zip', { volumeBytes: 12 })).volumes.map(({ mails }) => mails)).toEqual([2, 1]);
    await expire(backup);
    expect((await exported(backup, 'zip', { volumeBytes: 11 })).volumes.map(({ mails }) => mails)).toEqual([1, 1, 1]);
  });

  test('when the time is over a volume ends where it is, with one mail at least', async () => {
    for (const subject of ['a', 'b', 'c']) await fetched(subject, `mail ${subject}`);
    const backup = await backedUp();
    await world.startExport(backup);
    for (let job = world.exportJobs.shift(); job; job = world.exportJobs.shift()) {
      await runExport(world.exportRoom(), world.leaver.tenant, job, world.now);
    }
    expect((await world.readExport(backup)).volumes.map(({ mails }) => mails)).toEqual([1, 1, 1]);
  });
});

describe('a worker', () => {
  const job = (backup: string) => ({ tenant: world.leaver.tenant, backup, format: 'zip' as const });
  const turn = (backup: string, more: object = {}) =>
    runExport(world.exportRoom(more), world.leaver.tenant, job(backup), new Date(world.now.getTime() + 60_000));

  test('one at a time; one that is done and told of has nothing to do', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    world.told.length = 0;
    await world.startExport(backup);
    const room = world.exportRoom();
    const slow = {
      ...room.uploads,
      finish: async (...args: Parameters<typeof room.uploads.finish>) => {
        expect(await turn(backup)).toBe('not-mine');
        return room.uploads.finish(...args);
      },
    };
    expect(await turn(backup, { uploads: slow })).toBe('ended');
    expect([await turn(backup), world.told.length]).toEqual(['ended', 1]);
    expect(await world.table.all({ pk: runningExportsPartition })).toEqual([]);
  });

  const overtaken = (backup: string, at: 'while it writes' | 'when it has written' | 'when its upload is complete') => {
    const { uploads } = world.exportRoom();
    const lose = async () => {
      world.tick(EXPORT_LEASE_SECONDS + 1);
      expect(await turn(backup)).toBe('ended');
    };
    const finish: typeof uploads.finish = async (upload, bytes) => {
      if (at === 'while it writes') await lose();
      const pieces: Uint8Array[] = [];
      for await (const piece of bytes) pieces.push(piece);
      if (at === 'when it has written') await lose();
      const stored = await uploads.finish(upload, Readable.from(pieces));
      if (at === 'when its upload is complete') await lose();
      return stored;
    };
    return { ...uploads, finish };
  };

  test.each([
    ['while it writes', 'not-mine'],
    ['when it has written', 'NoSuchUpload'],
    ['when its upload is complete', 'not-mine'],
  ] as const)('one that loses its lease %s commits nothing', async (at, outcome) => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await world.startExport(backup);
    const came = await turn(backup, { uploads: overtaken(backup, at) }).catch(({ message }) => message);
    const made = await world.readExport(backup);
    expect([came, made.state, made.volumes.length, world.uploads.size]).toEqual([outcome, 'completed', 1, 0]);
    expect(made.volumes[0]?.files[0]?.key).toMatch(/\/1-2\.zip$/);
    expect([...readZip(contentOf(made)).keys()]).toHaveLength(3);
  });

  test('in a long volume it says that it is still at it, and how far: nobody else takes it', async () => {
    for (let i = 0; i < 40; i++) await fetched(`mail ${i}`, `${i}`);
    const backup = await backedUp();
    await world.startExport(backup);
    const seen: number[] = [];
    const read = async (key: string) => {
      seen.push((await world.readExport(backup)).begun?.mails ?? 0);
      world.tick(EXPORT_PULSE_SECONDS);
      return world.files.get(key);
    };
    const hour = new Date(world.now.getTime() + 3_600_000);
    const room = world.exportRoom({ files: { ...world.exportRoom().files, read } });
    expect(await runExport(room, world.leaver.tenant, job(backup), hour)).toBe('ended');
    expect(40 * EXPORT_PULSE_SECONDS).toBeGreaterThan(EXPORT_LEASE_SECONDS);
    expect(Math.max(...seen)).toBeGreaterThan(0);
    expect((await world.readExport(backup)).begun).toBeUndefined();
  });

  test('in a mail that is on many records as well, which may take longer than the lease', async () => {
    await fetched('large', 'x');
    const backup = await backedUp();
    const manifest = await world.manifest(backup);
    const line = JSON.parse(Buffer.from(world.files.get(manifest.parts[0].key) as Uint8Array).toString());
    const records = Array.from({ length: 20 }, (_, i) => ({ module: 'contacts', id: `record-${i}` }));
    await replaceManifest(backup, manifest, [{ ...line, records }]);
    await world.startExport(backup);
    const { uploads } = world.exportRoom();
    let saidAt = '';
    const finish: typeof uploads.finish = async (upload, bytes) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of bytes) pieces.push(piece);
      saidAt = (await world.readExport(backup)).updatedAt;
      return uploads.finish(upload, Readable.from(pieces));
    };
    const clock = () => world.tick(EXPORT_PULSE_SECONDS);
    expect(await turn(backup, { clock, uploads: { ...uploads, finish } })).toBe('ended');
    expect(Date.parse(saidAt) - Date.parse((await world.readExport(backup)).startedAt)).toBeGreaterThan(EXPORT_LEASE_SECONDS * 1000);
  });

  test('reliability 40: one that is killed is replaced after its lease, and after some of them the export has failed', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await world.startExport(backup);
    world.exportJobs.length = 0;
    const killed = { files: { ...world.exportRoom().files, read: async () => Promise.reject(new Error('killed')) } };
    for (let i = 0; i < EXPORT_TRIES; i++) {
      await expect(turn(backup, killed)).rejects.toThrow('killed');
      expect(await sweepExports(world.exportStartRoom(), world.now)).toBe(0);
      world.tick(EXPORT_LEASE_SECONDS);
      expect(await sweepExports(world.exportStartRoom(), world.now)).toBe(1);
    }
    expect(await turn(backup)).toBe('ended');
    expect([(await world.readExport(backup)).state, world.uploads.size]).toEqual(['failed', 0]);
    expect(await sweepExports(world.exportStartRoom(), world.now)).toBe(0);
    // And it can be asked for anew.
    world.exportJobs.length = 0;
    expect((await exported(backup)).volumes).toHaveLength(1);
  });

  test.each([
    ['the manifest', (backup: string) => `t/${world.leaver.tenant}/backups/${backup}/manifest.json`],
    ['a part of it', (backup: string) => [...world.files.keys()].find((key) => key.includes(`${backup}/parts/`)) as string],
  ])('nothing is built on a backup of which %s is damaged', async (_, keyOf) => {
    await fetched('a', 'x');
    const backup = await backedUp();
    const key = keyOf(backup);
    world.files.set(key, Buffer.concat([world.files.get(key) as Uint8Array, Buffer.from(' ')]));
    await world.startExport(backup);
    await expect(turn(backup)).rejects.toThrow('damaged');
  });

  test('never complete when a mail of the backup is in no volume', async () => {
    for (const subject of ['a', 'b']) await fetched(subject, subject);
    const backup = await backedUp();
    await world.startExport(backup);
    await turn(backup, { volumeMails: 1 });
    await world.table.update(exportKey(world.leaver.tenant, backup, 'zip'), { update: 'SET volumes = :none', values: { ':none': [] } });
    await expect(turn(backup)).rejects.toThrow('do not add up');
    expect((await world.readExport(backup)).state).toBe('running');
  });
});

describe('who asked for it is told when it ends', () => {
  const job = (backup: string) => ({ tenant: world.leaver.tenant, backup, format: 'zip' as const });
  const turn = (backup: string, more: object = {}) =>
    runExport(world.exportRoom(more), world.leaver.tenant, job(backup), new Date(world.now.getTime() + 60_000));

  beforeEach(() => {
    world.told.length = 0;
  });

  test('once, with counts and link, in English and Japanese, however often its word comes', async () => {
    await fetched('a', 'x');
    const gone = await fetched('gone', 'y');
    const backup = await backedUp();
    world.files.delete(gone);
    world.told.length = 0;
    await exported(backup);
    await Promise.all([turn(backup), turn(backup)]);
    expect(world.told).toMatchObject([{ to: 'admin@example.com', subject: expect.stringMatching(/complete.*完了/) }]);
    expect(world.told[0]?.text).toMatch(
      new RegExp(
        `Mails: 2, in 1 files \\(zip\\). Source missing: 1. Source damaged: 0.[^]*https://crm.example.com/v1/backups/${backup}/export/zip`,
      ),
    );
    expect(world.told[0]?.text).toContain('メール: 2 件');
  });

  test('by the next worker when this one was killed before; by nobody else when it was killed behind', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    world.told.length = 0;
    await world.startExport(backup);
    await expect(turn(backup, { tell: () => Promise.reject(new Error('killed')) })).rejects.toThrow('killed');
    expect((await world.readExport(backup)).state).toBe('completed');
    // It has claimed the notice: until the claim is void nobody knows whether the mail went out.
    world.tick(EXPORT_LEASE_SECONDS);
    expect(await sweepExports(world.exportStartRoom(), world.now)).toBe(1);
    await turn(backup);
    expect(world.told).toEqual([]);
    world.tick(600);
    await turn(backup);
    world.tick(600);
    expect([await turn(backup), await sweepExports(world.exportStartRoom(), world.now)]).toEqual(['ended', 0]);
    expect(world.told).toHaveLength(1);
  });

  test('of its failure', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    world.told.length = 0;
    await world.startExport(backup);
    const killed = { files: { ...world.exportRoom().files, read: async () => Promise.reject(new Error('killed')) } };
    for (let i = 0; i < EXPORT_TRIES; i++) {
      await expect(turn(backup, killed)).rejects.toThrow('killed');
      world.tick(EXPORT_LEASE_SECONDS);
    }
    await turn(backup);
    expect(world.told).toMatchObject([{ subject: expect.stringMatching(/failed.*失敗/) }]);
  });

  test('not of the end of another one that stands in its place meanwhile', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    const first = await exported(backup);
    await expire(backup);
    await world.startExport(backup);
    world.told.length = 0;
    await tellExporter(world.exportRoom(), world.leaver.tenant, { ...first, noticeSentAt: undefined }, world.now);
    await noteExportNoticeSent(world.table, world.leaver.tenant, first, world.now);
    expect([world.told, (await world.readExport(backup)).noticeSentAt]).toEqual([[], undefined]);
    expect(await world.table.all({ pk: runningExportsPartition })).toHaveLength(1);
  });
});

describe('cancelled', () => {
  const cancel = (backup: string, viewer = world.admin) => cancelExport(world.exportStartRoom(), viewer, backup, 'zip', world.tick());

  test('it ends at once, nothing of it can be downloaded, who started it is told, the audit tells who; and it can be asked for anew', async () => {
    for (const subject of ['a', 'b']) await fetched(subject, subject);
    const backup = await backedUp();
    world.told.length = 0;
    await world.startExport(backup);
    const job = world.exportJobs.shift() as ExportJob;
    await runExport(world.exportRoom({ volumeMails: 1 }), job.tenant as TenantId, job, new Date(world.now.getTime() + 60_000));
    expect(await cancel(backup)).toMatchObject({ state: 'cancelled', volumes: [{ mails: 1 }] });
    const { found } = await findExport(world.table, world.admin, backup, 'zip');
    expect(await problem(Promise.resolve().then(() => findFile(found, '1', world.now)))).toBe('409 not-complete');
    expect(exportView(found, world.now)).toMatchObject({ state: 'cancelled', files: [] });
    expect(await problem(cancel(backup))).toBe('409 not-running');
    await world.workExports();
    expect(world.told).toMatchObject([{ to: 'admin@example.com', subject: expect.stringMatching(/cancelled.*キャンセル/) }]);
    expect(await world.table.all({ pk: runningExportsPartition })).toEqual([]);
    expect((await audited()).filter(({ action }) => action.startsWith('backup.export-'))).toEqual([
      { action: 'backup.export-cancel', actor: world.admin.member, after: expect.objectContaining({ backup, mails: 1 }) },
    ]);
    expect((await exported(backup)).volumes).toMatchObject([{ mails: 2 }]);
  });

  test.each(['while it writes', 'when its upload is complete'])('a worker that is at it commits nothing: %s', async (at) => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await world.startExport(backup);
    const { uploads } = world.exportRoom();
    const finish: typeof uploads.finish = async (upload, bytes) => {
      if (at === 'while it writes') await cancel(backup);
      const stored = await uploads.finish(upload, bytes);
      if (at !== 'while it writes') await cancel(backup);
      return stored;
    };
    await world.workExports({ uploads: { ...uploads, finish } });
    const made = await world.readExport(backup);
    expect([made.state, made.volumes, made.upload, world.uploads.size]).toEqual(['cancelled', [], undefined, 0]);
  });

  test('what its worker was uploading when it was killed is forgotten', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await world.startExport(backup);
    const { files } = world.exportRoom();
    const read = async (key: string) => (key.endsWith('.eml') ? Promise.reject(new Error('killed')) : files.read(key));
    const killed = { files: { ...files, read } };
    await expect(world.workExports(killed)).rejects.toThrow('killed');
    expect(world.uploads.size).toBe(1);
    await cancel(backup);
    await world.workExports();
    expect([world.uploads.size, (await world.readExport(backup)).upload]).toEqual([0, undefined]);
  });

  test('GEN-3: by administrators of the same organisation alone', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await world.startExport(backup);
    const other = await new BackupWorld(engine.table).begin();
    expect([await problem(cancel(backup, world.colleague)), await problem(cancel(backup, other.admin))]).toEqual([
      '404 not-found',
      '404 not-found',
    ]);
    expect((await world.readExport(backup)).state).toBe('running');
  });
});

describe('who asks for it', () => {
  test('GEN-3: only administrators, only of a completed backup', async () => {
    await fetched('a', 'x');
    await world.setStatus('deactivated');
    const { id } = await world.start();
    expect(await problem(world.startExport(id))).toBe('409 not-complete');
    await world.work();
    expect(await problem(world.startExport(id, 'zip', world.colleague))).toBe('404 not-found');
    await world.startExport(id);
    expect(await problem(findExport(world.table, world.colleague, id, 'zip'))).toBe('404 not-found');
    expect(await problem(findExport(world.table, world.admin, id, 'mbox'))).toBe('404 not-found');
    expect(await problem(findExport(world.table, world.admin, id, '#'))).toBe('404 not-found');
  });

  test('twice is answered the same one while it runs or can be downloaded, and two at once make one', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    const [one, two] = await Promise.all([world.startExport(backup), world.startExport(backup)]);
    expect([two?.id, world.exportJobs.length]).toEqual([one?.id, 1]);
    await world.workExports();
    expect((await world.startExport(backup)).state).toBe('completed');
    expect(world.exportJobs).toEqual([]);
  });

  test('a file only of one that is complete, and only until it expires; then it is made anew', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    const file = async (number: string) => {
      const { found } = await findExport(world.table, world.admin, backup, 'zip');
      return problem(Promise.resolve().then(() => findFile(found, number, world.now)));
    };
    await world.startExport(backup);
    expect(await file('1')).toBe('409 not-complete');
    await world.workExports();
    expect([await file('1'), await file('2'), await file('0'), await file('x')]).toEqual([
      'none',
      '404 not-found',
      '404 not-found',
      '404 not-found',
    ]);
    const { id, startedAt } = await world.readExport(backup);
    world.now = new Date(Date.parse(startedAt) + EXPORT_DAYS * 86_400_000 - 1);
    expect(await file('1')).toBe('none');
    world.tick();
    expect(await file('1')).toBe('409 expired');
    expect((await world.startExport(backup)).id).not.toBe(id);
  });

  test('the audit tells who asked for it, and what came of it', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await exported(backup);
    const told = (await audited()).filter(({ action }) => action.startsWith('backup.export'));
    expect(told.sort((a, b) => a.action.length - b.action.length)).toEqual([
      { action: 'backup.export', actor: world.admin.member, after: expect.objectContaining({ backup, format: 'zip' }) },
      {
        action: 'backup.export-complete',
        actor: world.admin.member,
        after: expect.objectContaining({ backup, mails: 1, missing: 0, files: 1 }),
      },
    ]);
  });

  test('another tenant neither', async () => {
    await fetched('a', 'x');
    const backup = await backedUp();
    await exported(backup);
    const other = await new BackupWorld(engine.table).begin();
    const given = { format: 'zip' as const, id: backup, now: world.now };
    expect(await problem(startExport(other.exportStartRoom(), other.admin, backup, given))).toBe('404 not-found');
    expect(await problem(findExport(world.table, other.admin, backup, 'zip'))).toBe('404 not-found');
  });
});

async function audited(): Promise<{ action: string; actor: string; after: object }[]> {
  const pk = `T#${world.leaver.tenant}#Z#${world.now.toISOString().slice(0, 7)}`;
  const entries = await world.table.all<{ action: string; actor: string; after: object }>({ pk });
  return entries.map(({ action, actor, after }) => ({ action, actor, after }));
}

/** As if its days were over. */
async function expire(backup: string): Promise<void> {
  await world.table.update(exportKey(world.leaver.tenant, backup, 'zip'), {
    update: 'SET expiresAt = :past',
    values: { ':past': '2026-01-01T00:00:00.000Z' },
  });
}

async function replaceManifest(backup: string, manifest: { parts: object[]; result: object }, lines: object[]): Promise<void> {
  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const [part] = manifest.parts as { key: string }[];
  world.files.set(part?.key as string, bytes);
  const changed = {
    ...manifest,
    result: { ...manifest.result, mails: lines.length },
    parts: [{ ...part, sha256: sha(bytes), mails: lines.length }],
  };
  const head = Buffer.from(JSON.stringify(changed));
  world.files.set(`t/${world.leaver.tenant}/backups/${backup}/manifest.json`, head);
  await world.table.update(
    { pk: `T#${world.leaver.tenant}#V`, sk: backup },
    { update: 'SET manifest = :sum', values: { ':sum': sha(head) } },
  );
}

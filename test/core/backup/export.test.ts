import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Archive } from '../../../core/backup/archive.ts';
import { type Export, exportView } from '../../../core/backup/export.ts';
import { positionFrom } from '../../../core/backup/export-mails-store.ts';
import { mailFile, recordFolder, safeName, volumeName } from '../../../core/backup/export-names.ts';
import { MboxArchive, mboxEntry, quotedFrom } from '../../../core/backup/mbox.ts';
import { ZipArchive } from '../../../core/backup/zip.ts';
import { EXPORT_DAYS, EXPORT_VOLUME_BYTES, EXPORT_VOLUME_MAILS, MAX_MAIL_BYTES } from '../../../core/limits.ts';
import { resources } from '../../../functions/manifest.ts';
import { readMbox, readZip } from '../../support/archives.ts';

const AT = '2026-03-01T09:05:07.000Z';

async function contentOf(archive: Archive, fill: () => Promise<void>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const read = (async () => {
    for await (const piece of archive.output) pieces.push(piece as Buffer);
  })();
  await fill();
  archive.end();
  await read;
  return Buffer.concat(pieces);
}

describe('names every system can write, and no unzipper follows out of its folder', () => {
  test.each([
    ['../../etc/passwd', '_.._etc_passwd'],
    ['..', 'without'],
    ['C:\\Windows\\x', 'C_Windows_x'],
    ['/absolute', '_absolute'],
    ['a<b>c:d"e|f?g*h', 'a_b_c_d_e_f_g_h'],
    ['ends in dots... ', 'ends in dots'],
    [' .hidden', 'hidden'],
    ['line\r\nbreak\u2028and\ttab', 'line break and tab'],
    ['gpj\u202eexe', 'gpjexe'],
    ['', 'without'],
    ['\u200b', 'without'],
    ['NUL', '_NUL'],
    ['con.txt', '_con.txt'],
    ['LPT1', '_LPT1'],
    ['COM\u00b9', '_COM\u00b9'],
    ['Console', 'Console'],
    ['山田 太郎', '山田 太郎'],
    ['e\u0301', '\u00e9'],
    ['\ud800half', '_half'],
  ])('%j becomes %j', (text, name) => {
    expect(safeName(text, 'without')).toBe(name);
  });

  test('a long name is cut between characters, and what the cut leaves at its end is no dot or space', () => {
    expect(safeName('😀'.repeat(41), '')).toBe('😀'.repeat(40));
    expect(safeName(`${'a'.repeat(39)} b`, '')).toBe('a'.repeat(39));
    expect(safeName(`${'a'.repeat(39)}.b`, '')).toBe('a'.repeat(39));
  });

  test('a mail lies in the folder of its record; even the longest path stays below what Windows takes, each name below 255 bytes', () => {
    const id = '0'.repeat(26);
    const message = 'f'.repeat(40);
    expect(recordFolder({ module: 'contacts', id }, 'Taro/Yamada')).toBe(`contacts/Taro_Yamada-${id}`);
    expect(recordFolder({ module: 'contacts', id }, undefined)).toBe(`contacts/unnamed-${id}`);
    expect(mailFile({ receivedAt: AT, message }, 'Re: offer')).toBe(`2026-03-01-Re_ offer-${message}.eml`);
    expect(mailFile({ receivedAt: AT, message }, undefined)).toBe(`2026-03-01-no subject-${message}.eml`);
    const longest = `${recordFolder({ module: 'contacts', id }, '漢'.repeat(200))}/${mailFile({ receivedAt: AT, message }, '😀'.repeat(200))}`;
    expect(longest.length).toBeLessThan(240);
    for (const piece of longest.split('/')) expect(Buffer.byteLength(piece)).toBeLessThanOrEqual(255);
  });

  test('the first volume has the plain names, the others their number, so that all can be unpacked into one folder', () => {
    expect(['manifest.json', 'SHA256SUMS', 'backup-1.zip', 'backup-1.manifest.json'].map((name) => volumeName(name, 1))).toEqual([
      'manifest.json',
      'SHA256SUMS',
      'backup-1.zip',
      'backup-1.manifest.json',
    ]);
    expect(['manifest.json', 'SHA256SUMS', 'backup-1.zip', 'backup-1.manifest.json'].map((name) => volumeName(name, 2))).toEqual([
      'manifest-2.json',
      'SHA256SUMS-2',
      'backup-1-2.zip',
      'backup-1-2.manifest.json',
    ]);
  });
});

describe('zip', () => {
  test('files come out as they went in: empty, of one byte, of megabytes, with names in any script', async () => {
    const files = new Map([
      ['contacts/山田-1/2026-03-01-お見積-f.eml', Buffer.from('x')],
      ['empty', Buffer.alloc(0)],
      ['large', Buffer.from(createHash('sha512').update('seed').digest('hex').repeat(30_000))],
    ]);
    const zip = new ZipArchive();
    const content = await contentOf(zip, async () => {
      for (const [path, bytes] of files) await zip.add({ path, bytes, at: AT });
    });
    const read = readZip(content);
    expect([...read].map(([path, bytes]) => [path, bytes.equals(files.get(path) as Buffer)])).toEqual(
      [...files.keys()].map((path) => [path, true]),
    );
  });

  test('a volume stays below what a zip without extensions can count and hold, so that every unzipper opens it', () => {
    // Beside its mails it has a manifest and sums; names and headers of a mail are below a kilobyte, twice.
    expect(EXPORT_VOLUME_MAILS + 2).toBeLessThan(0xffff);
    expect(EXPORT_VOLUME_BYTES + MAX_MAIL_BYTES + EXPORT_VOLUME_MAILS * 4096).toBeLessThan(0xffffffff);
  });

  test('it holds no more than its reader has not taken: the next file waits', async () => {
    const zip = new ZipArchive();
    const noise = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < noise.length; i += 32) createHash('sha256').update(String(i)).digest().copy(noise, i);
    let added = 0;
    const filling = (async () => {
      for (; added < 20; added++) await zip.add({ path: `f${added}`, bytes: noise, at: AT });
    })();
    await new Promise((done) => setTimeout(done, 300));
    expect(added).toBeLessThan(3);
    zip.output.destroy();
    await expect(filling).rejects.toThrow('the archive was closed');
    await expect(zip.add({ path: 'late', bytes: noise, at: AT })).rejects.toThrow('the archive was closed');
  });
});

describe('mboxrd', () => {
  const difficult = [
    'From: a\r\n\r\nFrom here\r\n',
    'From here, in the first line\n\n>From quoted\n>>From twice\n',
    'From: a\n\n> From no quoting\nfrom small\n From indented\nFrom',
    'From: a\n\nends without a line feed\n\n\nFrom ',
    '',
    '\n\n\n',
    '>>>>From \n>>>> From\n>From',
    `${'>'.repeat(1000)}From \n`,
  ];

  test('RFC 4155, mboxrd: each line `>*From ` gets one sign more, and no other', () => {
    expect(quotedFrom(Buffer.from(difficult[1] as string)).toString()).toBe(
      '>From here, in the first line\n\n>>From quoted\n>>>From twice\n',
    );
    const plain = Buffer.from(difficult[2] as string);
    expect(quotedFrom(plain).equals(plain)).toBe(true);
  });

  test('whatever a mail holds, a strict reader gets its bytes back; a line feed is added where the last line has none', async () => {
    const mbox = new MboxArchive();
    const content = await contentOf(mbox, async () => {
      for (const text of difficult) await mbox.add({ path: '', bytes: Buffer.from(text), at: AT });
    });
    const read = readMbox(content).map(({ bytes }) => bytes.toString());
    expect(read).toEqual(difficult.map((text) => (text.endsWith('\n') ? text : `${text}\n`)));
  });

  test('the From_ line bears the time of receipt in UTC, as asctime writes it', () => {
    expect(mboxEntry(Buffer.from('x\n'), AT).toString()).toBe('From MAILER-DAEMON Sun Mar  1 09:05:07 2026\nx\n\n');
    expect(mboxEntry(Buffer.from('x\n'), '2026-12-24T23:59:59.000Z').toString()).toContain('Thu Dec 24 23:59:59 2026\n');
  });

  test('reliability 40: a mail of nothing but such lines takes no more memory than its bytes', async () => {
    const code = `import(${JSON.stringify(new URL('../../../core/backup/mbox.ts', import.meta.url).href)}).then(({ quotedFrom }) =>
      require('node:worker_threads').parentPort.postMessage(quotedFrom(Buffer.alloc(6 * 1024 * 1024, 'From \\n')).length))`;
    const worker = new Worker(code, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 32 } });
    const length = await new Promise((done, failed) => worker.once('message', done).once('error', failed));
    expect(length).toBe(7 * 1024 * 1024);
    await worker.terminate();
  });

  test('a reader that leaves ends the writer', async () => {
    const mbox = new MboxArchive();
    const adding = mbox.add({ path: '', bytes: Buffer.alloc(100_000, 'x'), at: AT });
    mbox.output.destroy();
    await expect(adding).rejects.toThrow('the archive was closed');
  });
});

test('a position goes on over parts without mails, and ends behind the last', () => {
  const parts = [0, 2, 0, 1, 0].map((mails) => ({ mails })) as never;
  const from = (part: number, line: number) => Object.values(positionFrom({ parts }, { part, line }));
  expect([from(0, 0), from(1, 1), from(1, 2), from(3, 1)]).toEqual([
    [1, 0],
    [1, 1],
    [3, 0],
    [5, 0],
  ]);
});

describe('an export as it is shown', () => {
  const one: Export = {
    id: 'e',
    backup: 'b',
    format: 'zip',
    member: 'm',
    startedBy: 'a',
    startedAt: '2026-03-01T09:00:00.000Z',
    expiresAt: '2026-03-08T09:00:00.000Z',
    state: 'running',
    total: { mails: 40, bytes: 400 },
    volumes: [{ mails: 15, missing: 1, damaged: 2, bytes: 150, files: [{ name: 'n', key: 'k', contentType: 't', bytes: 1, sha256: 's' }] }],
    begun: { mails: 5, bytes: 50 },
    next: { part: 0, line: 15 },
    fence: 1,
    tries: 0,
    updatedAt: '2026-03-01T09:01:00.000Z',
  };
  const now = new Date('2026-03-01T09:01:00.000Z');

  test('while it runs: how far, the end at the same pace, and no file', () => {
    expect(exportView(one, now)).toMatchObject({
      state: 'running',
      progress: { done: 20, total: 40, bytes: 200, missing: 1, damaged: 2, estimatedEnd: '2026-03-01T09:02:00.000Z' },
      files: [],
    });
  });

  test('its files when it is complete, until the bucket deletes them', () => {
    const complete: Export = { ...one, state: 'completed' };
    expect(exportView(complete, now).files).toEqual([{ file: 1, name: 'n', bytes: 1, sha256: 's' }]);
    const late = exportView(complete, new Date(one.expiresAt));
    expect([late.state, late.files]).toEqual(['expired', []]);
    expect(exportView(complete, new Date(Date.parse(one.expiresAt) - 1)).state).toBe('completed');
  });

  test('the bucket deletes exports when they can no longer be downloaded, not before', () => {
    expect(resources.mail.expiring).toEqual([{ prefix: 'exports/', days: EXPORT_DAYS }]);
  });
});

import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { Verdict } from '../../../core/sharing/can-see.ts';
import { inWords } from '../../../core/sharing/explain-visibility.ts';
import { mailPolicyPatch, mailPolicyReturned, NO_POLICY } from '../../../core/sharing/mail-policy.ts';
import { sharingType } from '../../../core/sharing/sharing-type.ts';
import { tickInput, tickReturned, visibilityReturned } from '../../../core/sharing/visibility.ts';

// biome-ignore lint/suspicious/noExplicitAny: the document is looked into, path by path.
const { paths } = JSON.parse(readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8')) as { paths: any };
const body = (path: string, method: string) => paths[path][method].requestBody.content['application/json'].schema;
const answer = (path: string, method: string) => paths[path][method].responses['200'].content['application/json'].schema;
/** The schema as the document has it. */
const told = (schema: z.ZodType, io: 'input' | 'output') => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
};

describe('what callers are told of these schemas is what is checked', () => {
  test('the policy', () => {
    expect(told(mailPolicyPatch, 'input')).toEqual(body('/v1/organisation', 'patch').properties.mailPolicy);
    const { default: none, ...returned } = answer('/v1/organisation', 'get').properties.mailPolicy;
    expect(none).toEqual(NO_POLICY);
    expect(told(mailPolicyReturned, 'output')).toEqual(returned);
  });

  test('the tick, and why a mail is seen', () => {
    expect(told(tickInput, 'input')).toEqual(body('/v1/contacts/{recordId}/mail-sharing', 'put'));
    expect(told(tickReturned, 'output')).toEqual(answer('/v1/contacts/{recordId}/mail-sharing', 'put'));
    expect(told(visibilityReturned, 'output')).toEqual(answer('/v1/messages/{messageId}/visibility', 'get'));
  });
});

describe('the policy', () => {
  const takes = (patch: object) => mailPolicyPatch.safeParse(patch).success;

  test('SHR-1, SHR-21: there are four types', () => expect(sharingType.options).toEqual(['private', 'custom', 'public', 'admin']));

  test('SHR-2: none is public by default, all are allowed, nothing is excluded', () => {
    expect(NO_POLICY).toEqual({
      defaultSharing: 'private',
      allowedSharing: ['private', 'custom', 'public', 'admin'],
      excludedDomains: [],
      excludedAddresses: [],
      storeOnlyRecordMail: false,
      hiddenMailDays: 90,
    });
    expect(takes({ defaultSharing: 'public' })).toBe(false);
    for (const defaultSharing of ['private', 'custom', 'admin']) expect(takes({ defaultSharing })).toBe(true);
  });

  test('at least one type is allowed, and no field is unknown', () => {
    expect([takes({ allowedSharing: [] }), takes({ allowedSharing: ['public'] }), takes({}), takes({ other: 1 })]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test.each(['excludedDomains', 'excludedAddresses'])('a thousand %s are taken', (field) => {
    const names = (n: number) => Array.from({ length: n }, (_, i) => `${i}`);
    expect([takes({ [field]: names(1000) }), takes({ [field]: names(1001) })]).toEqual([true, false]);
  });
});

describe('why, in words', () => {
  const NAMES: [Verdict['because'], string, string][] = [
    ['filed-on-record', 'BCC dropbox', 'BCCドロップボックス'],
    ['ticked', 'has ticked', '「メールの共有」を有効にしています'],
    ['public', 'shares all mail of leads and contacts but for what is excluded', '除外対象を除き'],
    ['administrators', 'shares mail with administrators.', '管理者のみと'],
    ['private', 'shares no mail', '非公開'],
    ['not-ticked', 'is not ticked', '有効になっていません'],
    ['administrators-only', 'administrators alone', '管理者のみと'],
    ['owner-deactivated', 'is deactivated', '無効化'],
  ];
  test.each(NAMES)('%s, with the name of who holds the mail', (because, english, japanese) => {
    const { en, ja } = inWords(because, 'Mika');
    expect([en.startsWith('Mika '), ja.startsWith('Mikaさん')]).toEqual([true, true]);
    expect([en, ja]).toEqual([expect.stringContaining(english), expect.stringContaining(japanese)]);
  });

  test('backed-up, with the name in its place', () => {
    const { en, ja } = inWords('backed-up', 'Mika');
    expect([en, ja]).toEqual([expect.stringContaining('backed up the mail of Mika,'), expect.stringContaining('管理者がMikaさんのメール')]);
  });

  test.each(['Ke$$ha', "$& $` $'", '{owner}'])('whatever the name is: %s', (name) => {
    const { en, ja } = inWords('private', name);
    expect([en, ja]).toEqual([`${name} shares no mail.`, `${name}さんのメールは非公開です。`]);
  });

  test('one of nobody in particular', () => {
    expect(inWords('own', 'Mika')).toEqual({ en: 'It is your own mail.', ja: 'あなた自身のメールです。' });
    expect(inWords('excluded-domain', 'Mika')).toEqual({
      en: expect.stringContaining('excluded from sharing'),
      ja: expect.stringContaining('除外'),
    });
  });
});

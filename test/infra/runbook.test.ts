import { readFileSync } from 'node:fs';
import { anchorOf } from '../../lib/aws/alarms.ts';
import { Asked, synthesise } from './synthesised.ts';

const runbook = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');
const [alarmChapter = ''] = runbook.split(/^# /m).filter((chapter) => chapter.startsWith('Alarms'));
const headings = [...alarmChapter.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!);
const alarms = new Asked(synthesise()).all('AWS::CloudWatch::Alarm').map(({ Properties }) => Properties);

test('each alarm has its heading in the runbook, and each heading its alarm', () => {
  const linked: string[] = alarms.map(({ AlarmDescription }) => AlarmDescription.replace('What to do: docs/runbook.md#', ''));
  expect(linked.sort()).toEqual(headings.map(anchorOf).sort());
});

test('each alarm is told to the operator when it begins and when it is over', () => {
  for (const { AlarmActions, OKActions } of alarms) {
    expect(AlarmActions).toEqual([{ Ref: expect.stringMatching(/^Operator/) }]);
    expect(OKActions).toEqual(AlarmActions);
  }
});

test('each entry says what users notice, where to look and what to do', () => {
  const entries = alarmChapter.split(/^## /m).slice(1);
  const incomplete = entries.filter((entry) => !['**Users notice**', '**Look**', '**Do**'].every((part) => entry.includes(part)));
  expect(incomplete.map((entry) => entry.split('\n')[0])).toEqual([]);
});

test('the commands it names exist', () => {
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const named = [...runbook.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!);
  expect(named.filter((name) => !scripts[name])).toEqual([]);
});

import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { CSV, JSON_LINES } from '../../../core/record/import.ts';
import { csvReader, decodeSource, jsonBody, rowsOf } from '../../../core/record/import-rows.ts';
import type { Module } from '../../../core/record/module.ts';
import { recordInput } from '../../../core/record/record.ts';

const bodies = (source: string, module: Module = 'leads') => {
  const reader = csvReader(module, source);
  return [...rowsOf(CSV, source, reader?.start)].map((row) => ({ line: row.line, ...reader?.body(row.text) }));
};

describe('rows of a CSV file', () => {
  test('by known columns in any case and spelling, others as custom fields', () => {
    const [row] = bodies('FIRST_NAME,Last Name,E-Mail,Company,Region,\nJane,Doe,jane@example.com; j@example.net,Example,North,x\n');
    expect(row).toEqual({
      line: 2,
      body: {
        name: { first: 'Jane', last: 'Doe' },
        addresses: ['jane@example.com', 'j@example.net'],
        company: 'Example',
        custom: { Region: 'North', 'column 6': 'x' },
      },
    });
  });

  test('with Japanese headers, a whole name in one column, and an account for a company', () => {
    expect(bodies('氏名,メールアドレス,会社名\n山田　太郎,taro@example.com,例示商事', 'contacts')).toEqual([
      { line: 2, body: { name: { first: '太郎', last: '山田' }, addresses: ['taro@example.com'], account: '例示商事', custom: {} } },
    ]);
  });

  test.each([
    ['a line feed', '\n'],
    ['carriage return and line feed', '\r\n'],
    ['a carriage return', '\r'],
  ])('whose lines end with %s', (_, end) => {
    const rows = bodies(['name,email', 'A,a@example.com', '', 'B,b@example.com', ''].join(end));
    expect(rows.map((row) => row.line)).toEqual([2, 4]);
  });

  test.each([',', ';', '\t'])('parted by %j', (delimiter) => {
    const [row] = bodies(['last name', 'email', 'region'].join(delimiter).concat('\n', ['Doe', 'a@example.com', 'North'].join(delimiter)));
    expect(row).toMatchObject({ body: { name: { last: 'Doe' }, custom: { region: 'North' } } });
  });

  test('with a byte order mark, quotes, commas and line ends in cells', () => {
    const source = decodeSource(
      Buffer.from('\ufeff"Last name",Email,Note\r\n"Doe, ""J""",a@example.com,"one\r\ntwo"\r\nRoe,b@example.com,\r\n'),
    );
    expect(bodies(source ?? '')).toEqual([
      { line: 2, body: { name: { last: 'Doe, "J"' }, addresses: ['a@example.com'], custom: { Note: 'one\ntwo' } } },
      { line: 4, body: { name: { last: 'Roe' }, addresses: ['b@example.com'], custom: {} } },
    ]);
  });

  test('a bad line spoils no other: a quote too many, one too few, cells too many', () => {
    const lines = ['last,email', 'A,"x"y', 'B,"open', 'C,c@example.com', 'D,d@example.com,,extra', 'E 5" pipe,e@example.com'];
    const rows = bodies(lines.join('\n'));
    expect(rows.map((row) => [row.line, 'error' in row])).toEqual([
      [2, true],
      [3, true],
      [4, false],
      [5, true],
      [6, false],
    ]);
    expect(rows[4]).toMatchObject({ body: { name: { last: 'E 5" pipe' } } });
  });

  test('deals have numbers, choices and their contact', () => {
    expect(bodies('Deal name,contactId,Stage,Amount,Close date\nSupply,x,WON,"12,000.50",2027-01-31', 'deals')).toEqual([
      { line: 2, body: { title: 'Supply', contactId: 'x', stage: 'won', amount: 12000.5, closeDate: '2027-01-31', custom: {} } },
    ]);
  });

  test('a column called __proto__ is no way to anything', () => {
    const [row] = bodies('last,__proto__\nDoe,x');
    const checked = recordInput.leads.parse((row as unknown as { body: unknown }).body) as { custom: object };
    expect(Object.getPrototypeOf(checked.custom)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('goes on from where it stopped as if it had not', () => {
    const source = 'last,note\nA,"x\ny"\n\nB,1\nC,2\n';
    const rows = [...rowsOf(CSV, source)];
    for (const [i, row] of rows.entries()) expect([...rowsOf(CSV, source, row.next)]).toEqual(rows.slice(i + 1));
  });

  test('4 MiB of quotes, of line ends and of open quotes are gone through in time', () => {
    for (const line of ['"\n', '\n', '"a\n', '"""",', 'a,"']) {
      const source = `last,email\n${line.repeat((4 * 1024 * 1024) / line.length)}`;
      let rows = 0;
      for (const _ of rowsOf(CSV, source)) if (++rows > 50_000) break;
      expect(rows).toBeGreaterThan(0);
    }
  });
});

describe('JSON lines', () => {
  test('are objects, one a line', () => {
    const rows = [...rowsOf(JSON_LINES, '{"title":"a"}\n\n[1]\nnonsense\n"x"\n{"title":"b"}')];
    expect(rows.map((row) => [row.line, jsonBody(row.text)])).toEqual([
      [1, { body: { title: 'a' } }],
      [3, { error: 'not a JSON object' }],
      [4, { error: 'not a JSON object' }],
      [5, { error: 'not a JSON object' }],
      [6, { body: { title: 'b' } }],
    ]);
  });
});

test('bytes that are no UTF-8 are told from text', () => {
  expect(decodeSource(Buffer.from([0x8e, 0x52, 0x93, 0x63]))).toBeUndefined();
  expect(decodeSource(Buffer.from('\ufeffname'))).toBe('name');
});

describe('quotes, held against csv-parse', () => {
  const oracle = (text: string, delimiter: string) => {
    try {
      const [cells, ...more] = parse(text, { delimiter, relax_column_count: true, ltrim: true, rtrim: true }) as string[][];
      return more.length === 0 ? cells : undefined;
    } catch {
      return undefined;
    }
  };
  const ours = (text: string, delimiter: string) => {
    // Ten columns of their own names, so that each cell comes back as it is; the last cell tells that none was lost.
    const names = Array.from({ length: 10 }, (_, i) => `c${i}`);
    const body = csvReader('leads', `${names.join(delimiter)}\n`)?.body(text);
    return body && 'body' in body ? (body.body.custom as Record<string, string>) : undefined;
  };
  const wanted = (cells: string[] | undefined) =>
    cells && Object.fromEntries(cells.flatMap((cell, i) => (cell.trim() === '' ? [] : [[`c${i}`, cell.trim()]])));

  test.each([',', ';', '\t'])('parted by %j', (delimiter) => {
    const part = fc.constantFrom('"', '""', delimiter, ' ', 'a', 'ü', '山', '"a"', `"a${delimiter}b"`, '"a""b"', 'a"b', ',', ';');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        // A row opens a quote somewhere, or it is no matter of quotes.
        const text = `"x"${delimiter}${parts.join('')}`;
        // What stands between two quoted parts of one cell it lets pass as nothing; here the row is refused.
        fc.pre(text.split(delimiter).length <= 10 && !/" +"/.test(text));
        expect({ text, cells: ours(text, delimiter) }).toEqual({ text, cells: wanted(oracle(text, delimiter)) });
      }),
      { numRuns: 3000, seed: Number(process.env.FC_SEED ?? 7) },
    );
  });

  test('a row that is hostile is read in time that grows with it', () => {
    for (const text of [
      `"a"${' '.repeat(500_000)}"`,
      `"a",${' '.repeat(500_000)}"x`,
      `${'""'.repeat(250_000)}x`,
      `"${'""'.repeat(250_000)}`,
    ]) {
      const begun = process.cpuUsage();
      ours(text, ',');
      expect(process.cpuUsage(begun).user).toBeLessThan(3_000_000);
    }
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { startTable } from '../support/engine.ts';
import { until } from '../support/host.ts';

test('a table is created, written and read', async () => {
  const { table, end } = await startTable();
  await table.put({ pk: 'a', sk: 'b', n: 1 });
  expect(await table.get({ pk: 'a', sk: 'b' })).toEqual({ pk: 'a', sk: 'b', n: 1 });
  await end();
});

test('DynamoDB ends with the process that started it, even when that is killed with SIGKILL', async () => {
  const source = `
    import { startDynamo } from './lib/local/dynoxide.ts';
    const { endpoint } = await startDynamo();
    console.log(endpoint);
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module-typescript', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [endpoint] = (await once(createInterface(owner.stdout), 'line')) as [string];
  await fetch(endpoint);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await until(async () => !(await reachable(endpoint)));
});

const reachable = (url: string) =>
  fetch(url).then(
    () => true,
    () => false,
  );

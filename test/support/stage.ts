import { caller, startHost } from './host.ts';

export type Stage = { api: ReturnType<typeof caller>; end: () => Promise<void> };

/**
 * A running system with a tenant that is empty, seen by its administrator: the one that BASE_URL and TOKEN name, deployed
 * wherever it may be; without them a local host of its own.
 */
export async function openStage(): Promise<Stage> {
  const { BASE_URL, TOKEN } = process.env;
  if (BASE_URL) return { api: caller(BASE_URL.replace(/\/$/, ''), TOKEN), end: async () => {} };
  const host = await startHost();
  const input = { name: 'Example', timeZone: 'UTC', administrator: { name: 'Mika', email: 'mika@example.com' } };
  const created = await host.invoke('create-tenant', input);
  if ('error' in created) throw new Error(created.error.errorMessage);
  return { api: host.api((JSON.parse(created.answer) as { token: string }).token), end: host.end };
}

import type { Answer } from './host.ts';

const hourNow = () => new Date().toISOString().slice(0, 13);

/**
 * Asks, each time for the next one, until it is 429, which must say when to come again; answers that refusal. So many are allowed an
 * hour, `most`; when the hour turns meanwhile they are counted anew, and those before it come on top.
 */
export async function untilTooMany(most: number, ask: (nth: number) => Promise<Answer>): Promise<Answer> {
  const began = hourNow();
  let allowed = 0;
  for (;;) {
    const answer = await ask(allowed);
    if (answer.status === 429) {
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      const turned = hourNow() !== began;
      expect({ turned, allowed }).toEqual({ turned, allowed: turned ? Math.min(Math.max(allowed, most), 2 * most) : most });
      return answer;
    }
    if (answer.status >= 300) throw new Error(answer.text);
    if (++allowed > 2 * most) throw new Error(`${allowed} were allowed in an hour that has ${most}`);
  }
}

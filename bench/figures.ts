/** One measured figure. With a limit, `ok` says whether it holds. */
export type Figure = { name: string; value: string; limit?: string; ok?: boolean };

/** A figure that is compared with the most it may be. */
export function atMost(name: string, value: number, limit: number, unit: string, digits = 2): Figure {
  return { name, value: `${value.toFixed(digits)}${unit}`, limit: `<= ${limit}${unit}`, ok: value <= limit };
}

/** A figure that is compared with the least it may be. */
export function atLeast(name: string, value: number, limit: number, unit: string, digits = 2): Figure {
  return { name, value: `${value.toFixed(digits)}${unit}`, limit: `>= ${limit}${unit}`, ok: value >= limit };
}

export const plain = (name: string, value: number, unit: string, digits = 2): Figure => ({
  name,
  value: `${value.toFixed(digits)}${unit}`,
});

export const percentile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
};

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Milliseconds of CPU this process used, all its threads together, while `work` ran. */
export async function cpuOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Milliseconds `work` took. */
export async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** The figures as lines of a table; those that break their limit are marked. */
export function table(title: string, figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const lines = figures.map(({ name, value, limit, ok }) => {
    const verdict = limit === undefined ? '' : `   ${limit}${ok ? '' : '   BROKEN'}`;
    return `  ${name.padEnd(width)}  ${value.padStart(12)}${verdict}`;
  });
  return [`\n${title}`, ...lines].join('\n');
}

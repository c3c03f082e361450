import * as z from 'zod';
import type { TenantId } from '../ids.ts';
import type { Module } from './module.ts';

export const CSV = 'text/csv';
export const JSON_LINES = 'application/x-ndjson';
export const importTypes = [CSV, JSON_LINES] as const;
export type ImportType = (typeof importTypes)[number];

/** Many records brought in at once. Worked on page by page; `page` is the next one to be done. */
export type Import = {
  id: string;
  module: Module;
  /** Who brings them in: their owner. */
  member: string;
  type: ImportType;
  state: 'running' | 'done' | 'failed';
  /** Why it failed; what was done before stays done, and stands in the report. */
  error?: 'interrupted' | 'member-gone' | 'source-gone';
  createdAt: string;
  finishedAt?: string;
  /** Lines with something on them, the header of a CSV file left out. */
  total: number;
  created: number;
  duplicates: number;
  invalid: number;
  page: number;
  /** Where the next page begins in the source. */
  at: Position;
};

/** A place in the source: UTF-16 units from its start, and the number of the line there, from 1. */
export type Position = { offset: number; line: number };

/** What became of one line. */
export type ImportedLine = {
  line: number;
  outcome: 'created' | 'duplicate' | 'invalid';
  /** The record it made. */
  id?: string;
  /** The record that has its address already, if the importer may see it. */
  existing?: string;
  errors?: { at: string; message: string }[];
};

/** The job of the queue: do this page. */
export const importJob = z.object({ tenant: z.string(), import: z.string(), page: z.number().int().min(0) });
export type ImportJob = z.infer<typeof importJob>;

export const importReturned = z
  .object({
    id: z.string(),
    module: z.string(),
    state: z.enum(['running', 'done', 'failed']),
    error: z.string().optional().meta({ description: 'Why it failed. What was done before stays done and stands in the report' }),
    createdAt: z.string(),
    finishedAt: z.string().optional(),
    total: z.number().meta({ description: 'Lines to do' }),
    handled: z.number().meta({ description: 'Lines done' }),
    created: z.number(),
    duplicates: z.number(),
    invalid: z.number(),
  })
  .meta({ id: 'Import' });

export const importedLine = z
  .object({
    line: z.number().meta({ description: 'Line in the file, from 1; of a row of several lines the first' }),
    outcome: z.enum(['created', 'duplicate', 'invalid']),
    id: z.string().optional(),
    existing: z.string().optional().meta({ description: 'The record that has the address already, if you may see it' }),
    errors: z.array(z.object({ at: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'ImportedLine' });

/** An import as the API answers it. */
export function importView(job: Import) {
  return { ...job, handled: job.created + job.duplicates + job.invalid };
}

export const sourceKey = (tenant: TenantId, id: string) => `t/${tenant}/imports/${id}/source`;
export const reportKey = (tenant: TenantId, id: string, page: number) => `t/${tenant}/imports/${id}/report/${page}`;

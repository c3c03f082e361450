import * as z from 'zod';
import { EXPORT_DAYS } from '../limits.ts';
import type { BegunUpload, Stored } from '../message/raw-mail.ts';

export const exportStates = ['running', 'completed', 'failed', 'cancelled'] as const;
export type ExportState = (typeof exportStates)[number];

export const exportFormats = ['zip', 'mbox'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** A file that can be downloaded. */
export type ExportFile = Stored & { name: string; key: string; contentType: string };
/** What a volume has: mails of the backup, and bytes of raw mail; of the mails, those whose raw bytes are gone, or not what they were. */
export type VolumeCounts = { mails: number; missing: number; damaged?: number; bytes: number };
/** What one worker's turn made: a zip, or an mbox and its manifest. */
export type Volume = VolumeCounts & { files: ExportFile[] };

/** A mail of the backup's manifest: line `line` of part `part`, each from 0. */
export type Position = { part: number; line: number };

/** The mails of a completed backup as files. Of each backup and format there is one; it can be made anew once it is gone. */
export type Export = {
  id: string;
  backup: string;
  format: ExportFormat;
  /** Whose mail. */
  member: string;
  startedBy: string;
  startedAt: string;
  /** When the bucket begins to delete its files. */
  expiresAt: string;
  state: ExportState;
  /** Mails, and bytes of raw mail, of the backup; absent until a worker has read its manifest. */
  total?: { mails: number; bytes: number };
  volumes: Volume[];
  /** Where the next volume begins. */
  next: Position;
  /** All volumes are there: what is left is to say so. */
  walked?: true;
  /** Of the volume that is being made: how far it is, and the upload that is to be forgotten when its worker was killed. */
  begun?: { mails: number; bytes: number };
  upload?: BegunUpload;
  /** One worker at a time: `fence` grows with every lease, and who has an older one commits nothing. */
  fence: number;
  /** Leases since the last volume that was committed. */
  tries: number;
  leaseUntil?: string;
  updatedAt: string;
  finishedAt?: string;
  /** That it ended was told to who started it; claimed before, so that it is told once. */
  noticeClaimedAt?: string;
  noticeSentAt?: string;
};

/** What the worker's queue carries. */
export const exportJob = z.object({ tenant: z.string(), backup: z.string(), format: z.enum(exportFormats) });
export type ExportJob = z.infer<typeof exportJob>;

/** Not with the tenant's other files: a lifecycle rule of the bucket goes by how keys begin. */
export const exportFolder = (tenant: string, { backup, id }: Pick<Export, 'backup' | 'id'>) => `exports/${tenant}/${backup}/${id}`;

export const exportEnd = (startedAt: Date) => new Date(startedAt.getTime() + EXPORT_DAYS * 86_400_000).toISOString();
export const isExpired = ({ expiresAt }: Export, now: Date) => expiresAt <= now.toISOString();
/** It is being made, or can be downloaded: another one would be the same. */
export const isOfUse = (one: Export, now: Date) => (one.state === 'running' || one.state === 'completed') && !isExpired(one, now);

export const filesOf = ({ volumes }: Export): ExportFile[] => volumes.flatMap(({ files }) => files);

export const exportInput = z.strictObject({
  format: z.enum(exportFormats).meta({
    description:
      '`zip`: an .eml file for each mail in the folder of each record it is on, with `manifest.json` and `SHA256SUMS`; `mbox`: mboxrd, each mail once, with a manifest beside it',
  }),
});

export const exportReturned = z.object({
  backup: z.string(),
  format: z.enum(exportFormats),
  member: z.string(),
  startedBy: z.string(),
  startedAt: z.string(),
  state: z.enum([...exportStates, 'expired']),
  progress: z.object({
    done: z.number().meta({ description: 'Mails of the backup' }),
    total: z.number().optional().meta({ description: 'Of so many; absent until its worker has begun' }),
    bytes: z.number(),
    missing: z.number().meta({ description: 'Mails whose raw bytes are gone: the manifest names them' }),
    damaged: z.number().meta({
      description:
        'Mails whose raw bytes are not those that the backup noted: the manifest names them, and in a zip they are in the folder `damaged`',
    }),
    estimatedEnd: z.string().optional(),
  }),
  files: z
    .array(z.object({ file: z.number(), name: z.string(), bytes: z.number(), sha256: z.string() }))
    .meta({ description: 'When it is completed: `/files/{file}` downloads one. A large export has several volumes' }),
  finishedAt: z.string().optional(),
  expiresAt: z.string(),
});

/** An export as administrators are shown it. */
export function exportView(one: Export, now: Date): z.input<typeof exportReturned> {
  const { backup, format, member, startedBy, startedAt, finishedAt, expiresAt, total } = one;
  const { mails, bytes } = doneOf(one);
  const isHere = one.state === 'completed' && !isExpired(one, now);
  return {
    backup,
    format,
    member,
    startedBy,
    startedAt,
    state: one.state === 'completed' && !isHere ? 'expired' : one.state,
    progress: {
      done: mails,
      total: total?.mails,
      bytes,
      missing: sum(one.volumes, 'missing'),
      damaged: sum(one.volumes, 'damaged'),
      estimatedEnd: estimatedEnd(one),
    },
    files: isHere ? filesOf(one).map(({ name, bytes: size, sha256 }, i) => ({ file: i + 1, name, bytes: size, sha256 })) : [],
    finishedAt,
    expiresAt,
  };
}

function doneOf({ volumes, begun }: Export): { mails: number; bytes: number } {
  return { mails: sum(volumes, 'mails') + (begun?.mails ?? 0), bytes: sum(volumes, 'bytes') + (begun?.bytes ?? 0) };
}

/** As fast as so far. */
function estimatedEnd(one: Export): string | undefined {
  const { mails } = doneOf(one);
  if (one.state !== 'running' || !one.total || mails === 0) return undefined;
  const start = Date.parse(one.startedAt);
  return new Date(start + ((Date.parse(one.updatedAt) - start) * one.total.mails) / mails).toISOString();
}

export const sum = (volumes: Volume[], field: keyof VolumeCounts) => volumes.reduce((all, volume) => all + (volume[field] ?? 0), 0);

import type { BackedUpMail } from './backup.ts';

type RecordRef = { module: string; id: string };

/** Of a name that people gave: with ids and folders a path stays below the 260 characters Windows takes. */
const MAX_CHARS = 40;

/** Devices of Windows, whatever follows behind a dot: `NUL.txt` cannot be written. */
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|\s|$)/iu;

/**
 * A piece of a file's name that every system can write and no unzipper follows out of its folder: no separators, no characters of
 * Windows' own, none that are unseen or turn the reading direction, no dot or space at either end. `without` when nothing is left.
 */
export function safeName(text: string, without: string): string {
  const clean = text
    .toWellFormed()
    .normalize('NFC')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\p{Cf}+/gu, '')
    .replace(/[<>:"/\\|?*\ufffd]+/gu, '_')
    .replace(/\s+/gu, ' ');
  const short = Array.from(clean).slice(0, MAX_CHARS).join('');
  const bare = short.replace(/^[\s.]+|[\s.]+$/gu, '');
  if (bare === '') return without;
  return DEVICE.test(bare) ? `_${bare}` : bare;
}

/** The folder of a record: its id tells namesakes apart, and says which one it is whatever it is called today. */
export function recordFolder({ module, id }: RecordRef, name: string | undefined): string {
  return `${module}/${safeName(name ?? '', 'unnamed')}-${id}`;
}

/** A mail's file in such a folder; its id makes it the only one of that name. */
export function mailFile({ receivedAt, message }: Pick<BackedUpMail, 'receivedAt' | 'message'>, subject: string | undefined): string {
  return `${receivedAt.slice(0, 10)}-${safeName(subject ?? '', 'no subject')}-${message}.eml`;
}

/** Where such a file lies when its bytes are not what they were: in a folder that no record has, so that nobody takes it for good. */
export const damagedFile = (path: string) => `damaged/${path}`;

/** Of a volume's own files: the first volume has the plain name, so that all can be unpacked into one folder. */
export function volumeName(name: string, volume: number): string {
  if (volume === 1) return name;
  const [, stem = name, extension = ''] = /^(.*?)(\.[\w.]+)?$/.exec(name) ?? [];
  return `${stem}-${volume}${extension}`;
}

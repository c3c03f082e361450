import type { Dropbox } from './dropbox.ts';

export type DropboxModule = 'leads' | 'contacts';

/** Records found at an address, by module: only these two take part (BCC-8). */
export type Found<Link> = Record<DropboxModule, Link[]>;

export type Choice<Link> = { tie: Link[] } | { create: DropboxModule };

/**
 * Truth table 2.5: what becomes of one recipient's address. Patterns A (contacts), B (leads; the source's "contact" is
 * a slip, C-1) and C (contacts, then leads, then what the owner chose).
 */
export function choose<Link>(dropbox: Pick<Dropbox, 'pattern' | 'createIn'>, found: Found<Link>): Choice<Link> {
  switch (dropbox.pattern) {
    case 'contacts':
      return found.contacts.length > 0 ? { tie: found.contacts } : { create: 'contacts' };
    case 'leads':
      return found.leads.length > 0 ? { tie: found.leads } : { create: 'leads' };
    case 'contacts-then-leads':
      if (found.contacts.length > 0) return { tie: found.contacts };
      return found.leads.length > 0 ? { tie: found.leads } : { create: dropbox.createIn };
  }
}

import * as z from 'zod';
import { MAX_IMPORT_BYTES, MAX_IMPORT_LINES, MAX_RECORD_ADDRESSES } from '../../../core/limits.ts';
import { importedLine, importReturned, importTypes } from '../../../core/record/import.ts';
import { MODULES, type Module, moduleRow, parentField } from '../../../core/record/module.ts';
import { recordExample, recordInput, recordPatch, recordReturned } from '../../../core/record/record.ts';
import { pageOf, pageQuery } from '../../../core/table/page.ts';
import type { Route } from '../route.ts';

/** Operations of a module: `listLeads`, `createLead`, ... */
export function operationNames(module: Module) {
  const { singular, title } = moduleRow(module);
  const one = singular[0]?.toUpperCase() + singular.slice(1);
  return {
    list: `list${title}`,
    create: `create${one}`,
    read: `read${one}`,
    patch: `patch${one}`,
    remove: `delete${one}`,
    detach: `detach${one}Address`,
    import: `import${title}`,
  };
}

/** Leads, contacts, deals: the same routes for each row of MODULES, and what is common to all imports. */
export const recordRoutes: Route[] = [...Object.keys(MODULES).flatMap((module) => moduleRoutes(module as Module)), ...importRoutes()];

function moduleRoutes(module: Module): Route[] {
  const { singular, title, addresses, fields } = moduleRow(module);
  const names = operationNames(module);
  const parent = parentField(module);
  const refusals = [
    ...(addresses ? ['duplicate-address', 'too-many-duplicates'] : []),
    ...(parent ? ['unknown-contact'] : []),
    'unknown-owner',
    'no-permission',
    'busy',
  ];
  const common = { tag: title, who: 'member' } as const;
  return [
    {
      ...common,
      method: 'GET',
      path: `/v1/${module}`,
      operation: names.list,
      summary: `The ${module} you may see`,
      description: `Newest first. \`q\` finds ${module} with words that begin with each of its words${addresses ? ', `address` those with a mail address' : ''}; one of them at a time.`,
      query: pageQuery.extend({
        q: z.string().trim().min(1).max(200).optional().meta({ description: 'Beginnings of words; of one character only whole words' }),
        ...(addresses ? { address: z.string().max(1000).optional().meta({ description: 'A mail address, whole' }) } : {}),
        ...(parent ? { [parent.field]: z.string().max(40).optional().meta({ description: fields[parent.field]?.about }) } : {}),
      }),
      returns: pageOf(recordReturned[module]),
      problems: ['bad-cursor', 'no-permission', 'one-filter', ...(addresses ? ['invalid-address'] : [])],
    },
    {
      ...common,
      method: 'POST',
      path: `/v1/${module}`,
      operation: names.create,
      summary: `Add a ${singular}`,
      description: addresses
        ? `An address belongs to one of the ${module}. When another has it already the answer is 409 with \`existing\`, if you may see that one; \`allowDuplicate: true\` lets both have it.`
        : `A ${singular} belongs to a contact that you may see.`,
      body: recordInput[module],
      example: recordExample(module),
      returns: recordReturned[module],
      status: 201,
      problems: refusals,
    },
    {
      ...common,
      method: 'GET',
      path: `/v1/${module}/{recordId}`,
      operation: names.read,
      summary: `One ${singular}`,
      returns: recordReturned[module],
    },
    {
      ...common,
      method: 'PATCH',
      path: `/v1/${module}/{recordId}`,
      operation: names.patch,
      summary: `Change a ${singular}`,
      description: addresses
        ? `What you leave out stays; \`null\` empties a field. \`addresses\` replaces the list; an address that leaves it stays behind it as a former one, with its mail, until it is detached. At most ${MAX_RECORD_ADDRESSES} addresses, former ones included. Earlier mail of an address that comes is pulled in: GET .../mail-backfill tells how far.`
        : 'What you leave out stays; `null` empties a field.',
      body: recordPatch[module],
      example: addresses ? { name: { first: 'Hanako', last: 'Sato' }, custom: { segment: null } } : { stage: 'won' },
      returns: recordReturned[module],
      problems: [...refusals, ...(addresses ? ['too-many-addresses'] : []), 'too-many-custom-fields', 'stale'],
    },
    ...(addresses ? [detachRoute(module, names.detach)] : []),
    {
      ...common,
      method: 'DELETE',
      path: `/v1/${module}/{recordId}`,
      operation: names.remove,
      summary: `Delete a ${singular}`,
      description: 'Its mail stays with the members who hold it, but is no longer found here.',
      returns: 'nothing',
      status: 204,
      problems: ['no-permission', 'has-deals', 'stale', 'busy'],
    },
    {
      ...common,
      method: 'POST',
      path: `/v1/${module}/import`,
      operation: names.import,
      summary: `Bring in many ${module}`,
      description: `CSV in UTF-8 with a header (${columnsOf(module)}; other columns become custom fields), or JSON lines of bodies as \`POST /v1/${module}\` takes them. At most ${MAX_IMPORT_LINES} lines and ${MAX_IMPORT_BYTES / 1024 / 1024} MiB. Lines are worked on after the answer: GET /v1/imports/{importId} tells how far it is, its report what became of each line. A bad line stops no other.`,
      body: { text: importTypes, maxBytes: MAX_IMPORT_BYTES },
      example: addresses
        ? 'First name,Last name,Email\nHanako,Yamada,hanako@example.com\n'
        : 'title,contactId,stage\nYearly supply,01k9zq3v5nexampleofacontact,open\n',
      returns: importReturned,
      status: 202,
      problems: ['no-permission', 'not-utf-8', 'bad-header', 'empty-import', 'too-many-lines'],
    },
  ];
}

function detachRoute(module: Module, operation: string): Route {
  const { singular, title } = moduleRow(module);
  return {
    tag: title,
    who: 'member',
    method: 'DELETE',
    path: `/v1/${module}/{recordId}/addresses/{address}`,
    operation,
    summary: `Detach an address from a ${singular}`,
    description: `Mail that was tied through this address alone is taken off the ${singular}, for everybody, within moments (GET .../mail-backfill); it stays its holders' mail. Adding the address again brings it back. Of an address it does not have nothing changes.`,
    returns: recordReturned[module],
    problems: ['invalid-address', 'no-permission', 'stale', 'busy'],
  };
}

function importRoutes(): Route[] {
  const common = { tag: 'Imports', who: 'member', method: 'GET' } as const;
  return [
    {
      ...common,
      path: '/v1/imports/{importId}',
      operation: 'readImport',
      summary: 'How far an import is',
      description: 'Your own; administrators see all.',
      returns: importReturned,
    },
    {
      ...common,
      path: '/v1/imports/{importId}/report',
      operation: 'listImportReport',
      summary: 'What became of each line',
      description: 'In the order of the file, as far as the import has come.',
      query: pageQuery.extend({
        outcome: z.enum(['created', 'duplicate', 'invalid']).optional().meta({ description: 'Only these lines' }),
      }),
      returns: pageOf(importedLine),
      problems: ['bad-cursor'],
    },
  ];
}

function columnsOf(module: Module): string {
  const { addresses, fields } = moduleRow(module);
  return [...(addresses ? ['first name', 'last name', 'name', 'email'] : ['title']), ...Object.keys(fields)].join(', ');
}

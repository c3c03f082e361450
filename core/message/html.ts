import sanitizeHtml from 'sanitize-html';
import { MAX_HTML_CHARS, MAX_HTML_DEPTH } from '../limits.ts';
import { htmlTokens } from './html-tokens.ts';
import type { Attachment } from './parsed-mail.ts';

const TAGS =
  'a abbr address b big blockquote br caption center cite code col colgroup dd del div dl dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp small span strike strong sub sup table tbody td tfoot th thead tr tt u ul var wbr'.split(
    ' ',
  );

const ATTRIBUTES: Record<string, string[]> = {
  '*': ['style', 'dir', 'lang', 'title', 'align', 'valign', 'bgcolor', 'width', 'height'],
  a: ['href', 'rel', 'target'],
  img: ['src', 'alt', 'border', 'hspace', 'vspace'],
  font: ['color', 'face', 'size'],
  table: ['border', 'cellpadding', 'cellspacing', 'summary'],
  td: ['colspan', 'rowspan', 'nowrap'],
  th: ['colspan', 'rowspan', 'nowrap', 'scope'],
  col: ['span'],
  colgroup: ['span'],
  ol: ['start', 'type'],
  ul: ['type'],
  li: ['value'],
};

/** No position, z-index or the like: a mail must not lie over what is around it. */
const STYLES =
  /^(?:color|background(?:-color)?|font(?:-(?:family|size|style|weight|variant))?|text-(?:align|decoration|indent|transform)|line-height|letter-spacing|white-space|word-(?:break|wrap|spacing)|overflow-wrap|vertical-align|direction|(?:min-|max-)?(?:width|height)|(?:margin|padding)(?:-(?:top|right|bottom|left))?|border(?:-(?:top|right|bottom|left))?(?:-(?:color|style|width))?|border-(?:collapse|spacing|radius)|display|float|clear|list-style(?:-type)?|table-layout)$/;
/** No backslash (CSS escapes spell url), no comment, and brackets only for colours. */
const STYLE_VALUE = /^(?:[\w\s#%.,'"!+-]|\b(?:rgba?|hsla?)\([\d\s.,%]+\))*$/i;

export type SanitiseOptions = {
  /** The product's id of the message: where its attachments are fetched from. */
  messageId: string;
  attachments: readonly Pick<Attachment, 'index' | 'contentId'>[];
};

/**
 * HTML of a mail made safe to show in a page of ours: only formatting is left, links open elsewhere and tell nobody
 * where from, images of the mail itself come from the API and remote ones, which would tell the sender who reads when,
 * are taken out. `blockedRemote` counts those. Never throws; text beyond MAX_HTML_CHARS is cut.
 */
export function sanitiseHtml(html: string, options: SanitiseOptions): { html: string; blockedRemote: number } {
  const sources = new Map(
    options.attachments.flatMap(({ index, contentId }) => (contentId ? [[contentId, index]] : []) as [string, number][]),
  );
  let blockedRemote = 0;
  const clean = sanitizeHtml(rewrite(html), {
    allowedTags: TAGS,
    allowedAttributes: ATTRIBUTES,
    allowedSchemes: ['http', 'https', 'mailto', 'tel'],
    allowedSchemesByTag: { img: ['data'] },
    allowProtocolRelative: false,
    parseStyleAttributes: false,
    transformTags: {
      '*': (tagName, attribs) => {
        if (attribs.background !== undefined || /url\s*\(/i.test(attribs.style ?? '')) blockedRemote++;
        return { tagName, attribs: withStyle(attribs) };
      },
      a: (tagName, attribs) => ({ tagName, attribs: linkAttributes(withStyle(attribs)) }),
      img: (tagName, attribs) => {
        const source = imageSource(attribs.src ?? '', options.messageId, sources);
        if (source === 'remote') blockedRemote++;
        return { tagName, attribs: withStyle(withAttribute(attribs, 'src', source === 'remote' ? undefined : source)) };
      },
    },
  });
  return { html: clean, blockedRemote };
}

const VOID = /^(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)$/;
/** What an end tag must not reach through: a stray `</div>` in a cell does not close the table around it. */
const SCOPE = /^(?:table|td|th|caption)$/;
const TABLE_PART = /^(?:table|tbody|thead|tfoot|tr|td|th|caption)$/;
const CLOSED_BY: Record<string, RegExp> = {
  p: /^p$/,
  li: /^(?:li|p)$/,
  dt: /^(?:dt|dd|p)$/,
  dd: /^(?:dt|dd|p)$/,
  option: /^option$/,
  td: /^(?:td|th|p)$/,
  th: /^(?:td|th|p)$/,
  tr: /^(?:td|th|tr|p)$/,
  tbody: /^(?:td|th|tr|tbody|thead|tfoot)$/,
};

/**
 * The same HTML spelled in the one way every parser reads alike: each tag closed, each value quoted, nothing deeper
 * than MAX_HTML_DEPTH (beyond it only text is left). What the sanitiser sees is then what a browser will see, and deep
 * nesting, which took the sanitiser 20 s for 200,000 tags, does not reach it.
 */
function rewrite(html: string): string {
  const out: string[] = [];
  const open: string[] = [];
  const close = () => out.push(`</${open.pop()}>`);
  for (const token of htmlTokens(html.slice(0, MAX_HTML_CHARS))) {
    if (token.kind === 'text') out.push(escapeText(token.text));
    else if (token.kind === 'open') {
      const closedBy = CLOSED_BY[token.name];
      while (closedBy && open.length > 0 && closedBy.test(open.at(-1)!)) close();
      const isVoid = VOID.test(token.name);
      if ((open.length >= MAX_HTML_DEPTH && !isVoid) || !/^[a-z][a-z0-9]{0,19}$/.test(token.name)) continue;
      out.push(`<${token.name}${spellAttributes(token.attributes)}>`);
      if (!isVoid) open.push(token.name);
    } else {
      const depth = depthToClose(open, token.name);
      while (depth !== -1 && open.length > depth) close();
    }
  }
  while (open.length > 0) close();
  return out.join('');
}

function depthToClose(open: readonly string[], name: string): number {
  for (let depth = open.length - 1; depth >= 0; depth--) {
    if (open[depth] === name) return depth;
    if (SCOPE.test(open[depth]!) && !TABLE_PART.test(name)) return -1;
  }
  return -1;
}

function spellAttributes(attributes: ReadonlyMap<string, string>): string {
  let spelled = '';
  for (const [name, value] of attributes) {
    if (/^[a-z][a-z-]{0,29}$/.test(name)) spelled += ` ${name}="${escapeText(value).replaceAll('"', '&quot;')}"`;
  }
  return spelled;
}

/** Entities stay as they are: the next reader decodes them, once, as the first would have. */
function escapeText(text: string): string {
  return text.replace(/[<>\0]/g, (char) => (char === '<' ? '&lt;' : char === '>' ? '&gt;' : ''));
}

type Attributes = Record<string, string>;

function withAttribute(attributes: Attributes, name: string, value: string | undefined): Attributes {
  const { [name]: _, ...others } = attributes;
  return value === undefined ? others : { ...others, [name]: value };
}

function withStyle(attributes: Attributes): Attributes {
  return attributes.style === undefined ? attributes : withAttribute(attributes, 'style', cleanStyle(attributes.style));
}

function cleanStyle(style: string): string | undefined {
  const kept: string[] = [];
  for (const declaration of style.slice(0, 5000).split(';')) {
    const colon = declaration.indexOf(':');
    const property = declaration.slice(0, Math.max(0, colon)).trim().toLowerCase();
    const value = declaration.slice(colon + 1).trim();
    if (value !== '' && value.length <= 200 && STYLES.test(property) && STYLE_VALUE.test(value)) kept.push(`${property}: ${value}`);
  }
  return kept.length > 0 ? kept.join('; ') : undefined;
}

function linkAttributes(attributes: Attributes): Attributes {
  const href = linkTarget(attributes.href ?? '');
  const { href: _, target: __, rel: ___, ...others } = attributes;
  return href === undefined ? others : { ...others, href, target: '_blank', rel: 'noopener noreferrer nofollow' };
}

/** Absolute links of harmless schemes, as the URL standard spells them; a relative one would point into our own site. */
function linkTarget(href: string): string | undefined {
  if (!URL.canParse(href)) return undefined;
  const url = new URL(href);
  return /^(?:https?|mailto|tel):$/.test(url.protocol) ? url.href : undefined;
}

/** Where an image comes from: a path or a data: URL that may stand, or `remote`; undefined when from nowhere. */
function imageSource(src: string, messageId: string, sources: ReadonlyMap<string, number>): string | undefined {
  const trimmed = src.trim();
  const cid = /^cid:(.+)$/is.exec(trimmed)?.[1];
  if (cid !== undefined) {
    const index = sources.get(cid) ?? sources.get(decodeUri(cid));
    return index === undefined ? undefined : `/v1/messages/${encodeURIComponent(messageId)}/attachments/${index}`;
  }
  if (/^data:image\/(?:png|gif|jpe?g|webp);base64,[a-z0-9+/=\s]+$/i.test(trimmed)) return trimmed;
  return trimmed === '' ? undefined : 'remote';
}

function decodeUri(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

import { MAX_HTML_CHARS, MAX_HTML_DEPTH } from '../../../core/limits.ts';
import { sanitiseHtml } from '../../../core/message/html.ts';
import { htmlToText } from '../../../core/message/mail-text.ts';

// Loaded behind the sanitiser, which requires it: Jest takes the two ways together for a cycle.
const { Parser } = await import('htmlparser2');

const clean = (html: string) => sanitiseHtml(html, { messageId: 'm1', attachments: [{ index: 2, contentId: 'logo@example' }] });

/** Event handlers, each on elements that fire it by themselves. */
const handlers = [
  'onload',
  'onerror',
  'onclick',
  'onmouseover',
  'onfocus',
  'ontoggle',
  'onbegin',
  'onanimationstart',
  'onpointerenter',
  'onwheel',
].flatMap((on) => [
  `<img src=x ${on}=alert(1)>`,
  `<img src=x ${on.toUpperCase()}="alert(1)">`,
  `<svg ${on}=alert(1)>`,
  `<svg/${on}=alert(1)//`,
  `<body ${on}=alert(1)>`,
  `<p title="x"${on}=alert(1)>x</p>`,
  `<a href=x${'\u0000'} ${on}=alert(1)>x</a>`,
  `<details open ${on}=alert(1)>`,
  `<img src="x" title="a\`"${on}='alert(1)'>`,
  `<video><source ${on}=alert(1)></video>`,
]);

/** Spellings of javascript: and its kin, in every place a link may stand. */
const links = [
  'javascript:alert(1)',
  'JaVaScRiPt:alert(1)',
  ' javascript:alert(1)',
  '\u0001javascript:alert(1)',
  'java\tscript:alert(1)',
  'java\nscript:alert(1)',
  'java\r\nscript:alert(1)',
  'java\u0000script:alert(1)',
  '&#106;avascript:alert(1)',
  '&#x6A;avascript:alert(1)',
  '&#0000106avascript:alert(1)',
  'javascript&colon;alert(1)',
  'java&Tab;script:alert(1)',
  'java&NewLine;script:alert(1)',
  'javascript&#58;alert(1)',
  'vbscript:msgbox(1)',
  'livescript:x',
  'data:text/html,<script>alert(1)</script>',
  'data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==',
  'data:image/svg+xml,<svg onload=alert(1)>',
  'file:///etc/passwd',
  'blob:https://example.com/x',
  'filesystem:https://example.com/x',
  'ms-word:ofe|u|https://example.com/x',
  '//example.com/x',
  '/v1/me',
  'feed:javascript:alert(1)',
  'jar:javascript:alert(1)!/',
  'view-source:javascript:alert(1)',
  'x:javascript:alert(1)',
].flatMap((link) => [
  `<a href="${link}">x</a>`,
  `<a href='${link}'>x</a>`,
  `<img src="${link}">`,
  `<area href="${link}">`,
  `<form action="${link}"><input type=submit></form>`,
]);

const others = [
  '<script>alert(1)</script>',
  '<SCRIPT SRC=//example.com/x.js></SCRIPT>',
  '<script/x>alert(1)</script>',
  '<scr<script>ipt>alert(1)</scr</script>ipt>',
  '<<script>alert(1)//<</script>',
  '<script>alert(1)',
  '<script\u0000>alert(1)</script>',
  '</script><script>alert(1)</script>',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  '<svg><style><img src=x onerror=alert(1)></style></svg>',
  '<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  '<math><mi//xlink:href="data:x,<script>alert(1)</script>">',
  '<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>',
  '<template><script>alert(1)</script></template>',
  '<template><template></template><img src=x onerror=alert(1)>',
  '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
  '<iframe src=javascript:alert(1)>',
  '<object data="javascript:alert(1)"></object>',
  '<embed src="javascript:alert(1)">',
  '<applet code=x></applet>',
  '<meta http-equiv=refresh content="0;url=javascript:alert(1)">',
  '<META HTTP-EQUIV="Set-Cookie" Content="x=1">',
  '<base href="javascript:alert(1)//">',
  '<link rel=stylesheet href="//example.com/x.css">',
  '<link rel=import href=x>',
  '<style>@import "//example.com/x.css";</style>',
  '<style>body{background:url(javascript:alert(1))}</style>',
  '<p style="background:url(javascript:alert(1))">x</p>',
  '<p style="background:url(//example.com/x)">x</p>',
  '<p style="background:u\\rl(//example.com/x)">x</p>',
  '<p style="background:\\75rl(//example.com/x)">x</p>',
  '<p style="color:expression(alert(1))">x</p>',
  '<p style="color:exp/**/ression(alert(1))">x</p>',
  '<p style="width:e\\xpression(alert(1))">x</p>',
  '<p style="-moz-binding:url(//example.com/x)">x</p>',
  '<p style="behavior:url(x.htc)">x</p>',
  '<p style="position:fixed;top:0;left:0;width:100%;height:100%;z-index:9">x</p>',
  '<p style="background:image-set(\'//example.com/x\' 1x)">x</p>',
  '<p style="color:red;}</style><script>alert(1)</script>">x</p>',
  '<p style="list-style-image:url(//example.com/x)">x</p>',
  '<p style="font-family:&quot;;background:url(//example.com/x)">x</p>',
  '<p style="content:attr(x)">x</p>',
  '<p style="color:var(--x)">x</p>',
  '<p style=&#34;color:red&#34; onclick=alert(1)>x</p>',
  '<!--[if gte IE 4]><script>alert(1)</script><![endif]-->',
  '<!--><script>alert(1)</script>-->',
  '<!-- --!><script>alert(1)</script>-->',
  '<!---><img src=x onerror=alert(1)>-->',
  '<![CDATA[<img src=x onerror=alert(1)>]]>',
  '<?xml version="1.0"?><html xmlns="x"><script>alert(1)</script>',
  '<!DOCTYPE x [<!ENTITY y "z">]><img src=x onerror=alert(1)>',
  '+ADw-script+AD4-alert(1)+ADw-/script+AD4-',
  '<img src="x` `<script>alert(1)</script>"` `>',
  '<img """><script>alert(1)</script>">',
  '<img src=x:alert(alt) onerror=eval(src) alt=0>',
  '<img/src="x"/onerror=alert(1)>',
  '<img\u000csrc=x\u000conerror=alert(1)>',
  '<img src=x onerror\u000c=alert(1)>',
  '<a href="https://example.com" onclick=alert(1)>x</a>',
  '<a href=https://example.com/"onmouseover="alert(1)>x</a>',
  '<a title="</a><img src=x onerror=alert(1)>">x</a>',
  '<textarea><img title="</textarea><img src=x onerror=alert(1)>"></textarea>',
  '<title><img title="</title><img src=x onerror=alert(1)>"></title>',
  '<xmp><p title="</xmp><img src=x onerror=alert(1)>"></xmp>',
  '<noembed><p title="</noembed><img src=x onerror=alert(1)>">',
  '<noframes><p title="</noframes><img src=x onerror=alert(1)>">',
  '<plaintext><script>alert(1)</script>',
  '<select><option><img src=x onerror=alert(1)></option></select>',
  '<select><style></select><img src=x onerror=alert(1)></style>',
  '<table><td background="javascript:alert(1)">x</td></table>',
  '<table background="//example.com/x.png"><tr><td>x</table>',
  '<input type=image src=x onerror=alert(1)>',
  '<button formaction=javascript:alert(1)>x</button>',
  '<isindex action=javascript:alert(1) type=image>',
  '<bgsound src="javascript:alert(1)">',
  '<marquee onstart=alert(1)>x</marquee>',
  '<frameset><frame src="javascript:alert(1)"></frameset>',
  '<layer src="javascript:alert(1)"></layer>',
  '<xml id=x><a><b>&lt;script>alert(1)&lt;/script></b></a></xml>',
  '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
  '<svg><animate attributeName=href values=javascript:alert(1)></svg>',
  '<svg><use href="data:image/svg+xml,<svg id=x></svg>#x"></svg>',
  '<svg><foreignObject><iframe src=javascript:alert(1)></foreignObject></svg>',
  '<svg><script>alert&#40;1&#41;</script></svg>',
  '<svg><desc><![CDATA[</desc><script>alert(1)</script>]]></svg>',
  '<audio src=x onerror=alert(1)>',
  '<video poster=javascript:alert(1)>',
  '<keygen autofocus onfocus=alert(1)>',
  '<img srcset="//example.com/x 1x">',
  '<img src="//example.com/x" srcset="javascript:alert(1)">',
  '<img src=cid:logo@example onerror=alert(1)>',
  '<img src="cid:../../../v1/tokens">',
  '<img src="data:image/svg+xml;base64,PHN2Zy8+">',
  '<img src="data:text/html;base64,PHN2Zy8+">',
  '<p id=location name=cookie class=x>x</p>',
  '<form id=test><input name=attributes></form>',
  '<a id=defaultView><a id=defaultView name=x>x</a>',
  '<p contenteditable accesskey=x tabindex=1 onfocus=alert(1) autofocus>x</p>',
  '<p is=x slot=y part=z>x</p>',
  '<a ping="//example.com/x" href="https://example.com">x</a>',
  '<a href="https://example.com" target=_self rel=opener>x</a>',
  '<a href="https://example.com" download=x.exe>x</a>',
  '<div ="foo><img src=x onerror=alert(1)>',
  '<p title=`x` onclick=alert(1)>x</p>',
  '<p/onclick=alert(1)>x</p>',
  '<p title="x',
  '<p title="x onclick=alert(1)><img src=x onerror=alert(1)>',
  '<',
  '</',
  '<a',
  '<a href="java',
  '&lt;script&gt;alert(1)&lt;/script&gt;',
  '&amp;lt;script&amp;gt;alert(1)',
  '<b<script>alert(1)</script>',
  '<\u0000script>alert(1)</script>',
  '<ſcript>alert(1)</ſcript>',
  '<İmg src=x onerror=alert(1)>',
  '<custom-element onconnected=alert(1)>x</custom-element>',
  '<p xml:base="javascript:alert(1)" xlink:href="javascript:alert(1)">x</p>',
  '<a href="javascript:alert(1)" href="https://example.com">x</a>',
  '<a href="https://example.com/&quot; onclick=&quot;alert(1)">x</a>',
];

const payloads = [...handlers, ...links, ...others];

const TAGS = new Set(
  'a abbr address b big blockquote br caption center cite code col colgroup dd del div dl dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp small span strike strong sub sup table tbody td tfoot th thead tr tt u ul var wbr'.split(
    ' ',
  ),
);
const NAMES =
  /^(?:style|dir|lang|title|align|valign|bgcolor|width|height|href|rel|target|src|alt|border|hspace|vspace|color|face|size|cellpadding|cellspacing|summary|colspan|rowspan|nowrap|scope|span|start|type|value)$/;

/** What is wrong with sanitised HTML, read by a parser of its own: a list that must be empty. */
function faults(html: string): string[] {
  const found: string[] = [];
  const parser = new Parser({
    onopentag(name, attributes) {
      if (!TAGS.has(name)) found.push(`<${name}>`);
      for (const [attribute, value] of Object.entries(attributes)) {
        if (!NAMES.test(attribute)) found.push(attribute);
        if (attribute === 'href' && !/^(?:https?:\/\/|mailto:|tel:)/.test(value)) found.push(`href=${value}`);
        if (attribute === 'src' && !/^(?:\/v1\/messages\/m1\/attachments\/\d+$|data:image\/(?:png|gif|jpe?g|webp);base64,)/.test(value))
          found.push(`src=${value}`);
        if (attribute === 'style' && /url|expression|import|position|binding|behaviou?r|\\|\/\*|var\(|attr\(|image-set/i.test(value))
          found.push(`style=${value}`);
        if (attribute === 'target' && value !== '_blank') found.push(`target=${value}`);
        if (attribute === 'rel' && value !== 'noopener noreferrer nofollow') found.push(`rel=${value}`);
      }
      if (name === 'a' && attributes.href !== undefined && attributes.rel === undefined) found.push('link without rel');
    },
    oncomment: (text) => found.push(`<!--${text}`),
    onprocessinginstruction: (_, text) => found.push(`<${text}`),
  });
  parser.end(html);
  return found;
}

describe('sanitiseHtml', () => {
  test('there are at least 300 attacks in the list', () => {
    expect(new Set(payloads).size).toBeGreaterThanOrEqual(300);
  });

  test.each(payloads)('nothing active is left of %p', (payload) => {
    expect(faults(clean(payload).html)).toEqual([]);
    expect(faults(clean(`<div><p title="${payload}">${payload}</p><table><tr><td>${payload}`).html)).toEqual([]);
    const once = clean(payload).html;
    expect(clean(once.replaceAll('/v1/messages/m1/attachments/2', 'cid:logo@example')).html).toBe(once);
  });

  test('formatting, links, tables and pictures of the mail itself are kept', () => {
    const { html, blockedRemote } = clean(
      '<table width="600"><tr><td style="color: #333; font-size: 12px">Hello <a href="https://example.com/?a=1&amp;b=2">you</a><img src="cid:logo%40example" alt="Logo"></td></tr></table>',
    );
    expect(html).toBe(
      '<table width="600"><tr><td style="color: #333; font-size: 12px">Hello <a href="https://example.com/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow">you</a><img alt="Logo" src="/v1/messages/m1/attachments/2" /></td></tr></table>',
    );
    expect(blockedRemote).toBe(0);
  });

  test('remote pictures are taken out and counted', () => {
    const { html, blockedRemote } = clean(
      '<img src="https://example.com/a.png" alt="a"><td background="http://example.com/b"><p style="background:url(http://example.com/c)">x',
    );
    expect(html).not.toContain('example.com');
    expect(blockedRemote).toBe(3);
  });

  test('text, entities and Japanese come through', () => {
    expect(clean('見積書 &amp; &lt;b&gt; ｶﾅ &nbsp;&copy;').html).toBe('見積書 &amp; &lt;b&gt; ｶﾅ \u00a0©');
  });

  test('elements nest up to MAX_HTML_DEPTH; deeper ones are flattened to their text', () => {
    const nested = (depth: number) => clean(`${'<b>'.repeat(depth)}x${'</b>'.repeat(depth)}`).html;
    expect(nested(MAX_HTML_DEPTH).match(/<b>/g)).toHaveLength(MAX_HTML_DEPTH);
    expect(nested(MAX_HTML_DEPTH + 1).match(/<b>/g)).toHaveLength(MAX_HTML_DEPTH);
    expect(nested(MAX_HTML_DEPTH + 1)).toContain('x');
  });

  test('MAX_HTML_CHARS characters are read and no more', () => {
    const { html } = clean(`${'a'.repeat(MAX_HTML_CHARS - 1)}bc`);
    expect(html).toHaveLength(MAX_HTML_CHARS);
    expect(html.endsWith('ab')).toBe(true);
  });

  test.each([
    ['200,000 nested tags', '<b>'.repeat(200_000)],
    ['unclosed quotes', '<a x="'.repeat(160_000)],
    ['unclosed comments', '<!--'.repeat(250_000)],
    ['unclosed styles', '<style>'.repeat(140_000)],
    ['end tags of nothing', `${'<b>'.repeat(150)}${'</x>'.repeat(240_000)}`],
    ['angle brackets', '<'.repeat(1_000_000)],
    ['attributes', `<a ${'x '.repeat(500_000)}>`],
    ['table rows', '<tr><td>x'.repeat(100_000)],
    ['spaces', `${' '.repeat(1_000_000)}x`],
    ['brackets in styles', `<p style="color:${'rgb(1'.repeat(200_000)}">`],
  ])('ends soon on a megabyte of %s', (_, html) => {
    const before = process.cpuUsage();
    expect(faults(clean(html).html)).toEqual([]);
    htmlToText(html);
    const { user } = process.cpuUsage(before);
    // Some 0.3 s of computing; a quadratic step would take minutes.
    expect(user / 1e6).toBeLessThan(20);
  });
});

describe('htmlToText', () => {
  test('a word named like a property of every object is no entity', () => {
    expect(htmlToText('&toString;&valueOf; &amp;')).toBe('&toString;&valueOf; &');
  });

  test.each([
    ['<p>Hello<br>you</p><p>Bye</p>', 'Hello\nyou\n\nBye'],
    ['<style>p{}</style><script>x</script><title>t</title><p>a  \n b</p>', 'a b'],
    ['<ul><li>one<li>two</ul>', '- one\n- two'],
    ['<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>', 'a\tb\n\nc'],
    ['&lt;b&gt; &amp;amp; &#12354;&#x3042; &yen;5 &unknown;', '<b> &amp; ああ ¥5 &unknown;'],
    ['<pre>a\n  b</pre>', 'a\nb'],
    ['a < b', 'a < b'],
    ['<!-- x --><![if !mso]>a<![endif]>', 'a'],
  ])('%p reads as %p', (html, text) => {
    expect(htmlToText(html)).toBe(text);
  });
});

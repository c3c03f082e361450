import { readFile } from 'node:fs/promises';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';

/** The page around swagger-ui, which reads /openapi.json. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CRM mail add-on: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;
const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, persistAuthorization: true });\n`;

const ASSETS: Record<string, string> = { 'swagger-ui.css': 'text/css', 'swagger-ui-bundle.js': 'text/javascript' };

/** Whatever this page shows is ours; nothing else may run in it. swagger-ui sets styles and draws images inline. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** When somebody opens the documentation. Its files lie gzipped beside the bundle. */
export async function handler(event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> {
  const file = event.pathParameters?.file;
  if (file === undefined) return answer('text/html; charset=utf-8', PAGE);
  if (file === 'start.js') return answer('text/javascript', START);
  const type = Object.hasOwn(ASSETS, file) ? ASSETS[file] : undefined;
  if (!type)
    return { statusCode: 404, headers: { 'content-type': 'text/plain' }, body: 'There is no such file. The documentation is at /docs.\n' };
  const gzipped = await readFile(new URL(`./${file}.gz`, import.meta.url));
  return {
    statusCode: 200,
    headers: { 'content-type': type, 'content-encoding': 'gzip', 'cache-control': 'public, max-age=86400' },
    body: gzipped.toString('base64'),
    isBase64Encoded: true,
  };
}

const answer = (type: string, body: string): APIGatewayProxyStructuredResultV2 => ({
  statusCode: 200,
  headers: { 'content-type': type, 'content-security-policy': CSP, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' },
  body,
});

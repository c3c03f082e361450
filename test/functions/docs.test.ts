import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { handler } from '../../functions/docs/handler.ts';

const get = (file?: string) => handler({ pathParameters: file === undefined ? {} : { file } } as unknown as APIGatewayProxyEventV2);

test('the documentation page is there; a file that is none is 404, also one named like a property of every object', async () => {
  expect((await get()).statusCode).toBe(200);
  for (const file of ['nothing.js', 'constructor', '__proto__', 'toString', '../../package.json']) {
    expect((await get(file)).statusCode).toBe(404);
  }
});

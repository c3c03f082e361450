import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * A process of its own, so that it takes no time from whom it delays: hands bytes on to a port of loopback, each way after half
 * the round trip. `node bench/delay-proxy.ts PORT ROUND_TRIP_MS`; sends its port to the process that forked it.
 */
const [target = 0, roundTripMs = 0] = process.argv.slice(2).map(Number);

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
  delayed(client, upstream);
  delayed(upstream, client);
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());

function delayed(from: Socket, to: Socket): void {
  const later = (work: () => void) => setTimeout(() => to.destroyed || work(), roundTripMs / 2);
  from.on('data', (chunk) => later(() => to.write(chunk)));
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => later(() => to.destroySoon()));
}

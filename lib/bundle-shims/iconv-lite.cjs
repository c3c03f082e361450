// mailparser and libmime each bring 500 KB of tables. Every text goes through core/message/charset.ts before them; what is
// left is libmime decoding parameters of part headers, for which the platform's tables do. Unknown charsets throw, as there.
const decode = (bytes, charset) => new TextDecoder(charset).decode(typeof bytes === 'string' ? Buffer.from(bytes, 'binary') : bytes);

const encodingExists = (charset) => {
  try {
    new TextDecoder(charset);
    return true;
  } catch {
    return false;
  }
};

const { decodeStream, encode, encodeStream, getDecoder, getEncoder } = require('./unreachable.cjs');

module.exports = { decode, encodingExists, decodeStream, encode, encodeStream, getDecoder, getEncoder };

// 230 KB of tables that libmime tries first and leaves for iconv-lite's when they throw.
module.exports = {
  convert: () => {
    throw new Error('decoded by the platform');
  },
};

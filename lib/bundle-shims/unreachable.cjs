// In place of packages whose code is imported but never run with our options (lib/bundle.ts says why for each).
// Whatever is taken from it throws when it is called: a wrong belief shows at once, in the log and in a test.
const refuse = () => {
  throw new Error('this code was believed unreachable and is not in the bundle');
};
const anything = { get: (target, name) => (name === 'prototype' ? target[name] : unreachable), apply: refuse, construct: refuse };
const unreachable = new Proxy(refuse, anything);

module.exports = unreachable;

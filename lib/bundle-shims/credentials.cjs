// Lambda, and the local host like it, gives a function its credentials in its environment. The other places where the SDK
// looks (profiles, SSO, instance metadata: a fifth of the authoriser) do not exist there.
const refuse = () => async () => {
  throw new Error('no credentials in the environment, and no other source of them in the bundle');
};

module.exports = {
  fromSSO: refuse,
  fromIni: refuse,
  fromProcess: refuse,
  fromTokenFile: refuse,
  fromHttp: refuse,
  fromContainerMetadata: refuse,
  fromInstanceMetadata: refuse,
};

// An OpenID provider for the tests: the real oidc-provider, with a login page, a consent page, and an API that acts as
// whoever the token belongs to.  Everything is in memory: a restart forgets every session and every grant.
//
// OIDC_HOME      the folder whose node_modules has oidc-provider
// OIDC_SETTINGS  JSON {port, clients, access_token_ttl}; port 0 takes a free one
//
// POST /_rig     {"path": "/token", "status": 503, "times": 2}    answer so, that often; "body" and "headers" if wished
//                {"path": "/token", "drop": true}                 close the connection instead
//                {"path": "/api/", "delay": 500}                  wait so many ms, then go on (or fail, with the above);
//                                                                 a path that ends in / stands for all beneath it
//                {"access_token_ttl": 2}                          from now on
//                {"device_code_ttl": 1}                           likewise, in seconds
//                {"interval": 1}                                  how often a device may ask, in seconds; it is not told
//                                                                 by itself, which stands for 5 (RFC 8628 section 3.2)
//
// It never asks a device to slow down by itself:
//                {"path": "/token", "status": 400, "times": 2, "body": {"error": "slow_down"}}
//                {"clear": true}                                  no fault, no note, tokens live as at the start
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const entry = createRequire(`${process.env.OIDC_HOME}/package.json`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(entry));

const settings = { port: 0, clients: [], access_token_ttl: 300, ...JSON.parse(process.env.OIDC_SETTINGS ?? '{}') };
const people = new Map(['alice', 'bob', 'carol'].map((name) => [name, `pw-${name}`]));
const notes = new Map([...people.keys()].map((name) => [name, []]));
const atStart = { access_token_ttl: settings.access_token_ttl, device_code_ttl: 600, interval: undefined };
let now = { ...atStart };
let faults = [];

// One line an event, `word key=value ...`; never a code, a token or a password.
const log = (event, facts = {}) =>
  console.log([event, ...Object.entries(facts).map(([key, value]) => `${key}=${value}`)].join(' '));

// ------------------------------------------------------------------------------------------------- small HTTP helpers

const body = async (req) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts).toString();
};
const json = (res, status, value, headers = {}) =>
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const html = (title, content) =>
  `<!doctype html><html lang="en"><title>${escape(title)}</title><h1>${escape(title)}</h1>${content}</html>`;
const page = (res, status, title, content) =>
  res
    .writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    .end(html(title, content));

// ------------------------------------------------------------------------------ where a device's code is typed in
// The provider's own forms have their buttons outside; these have them inside, and of two buttons each its own form.

const ended = (form, inside) => form.replace('</form>', `${inside}</form>`);

const userCodeInputSource = (ctx, form, out, error) => {
  const wrong = error ? `<p>${error.name === 'AbortedError' ? 'You said no.' : 'This code is not good.'}</p>` : '';
  ctx.body = html('Connect a device', wrong + ended(form, '<button>Continue</button>'));
};

const userCodeConfirmSource = (ctx, form, client, device, code) => {
  const who = `<p>${escape(client.clientId)} shows <code>${escape(code)}</code>.</p>`;
  const abort = '<input type="hidden" name="abort" value="yes"><button>Abort</button>';
  ctx.body = html('Is this your device?', who + ended(form, '<button>Continue</button>') + ended(form, abort));
};

const successSource = (ctx) => {
  ctx.body = html('Connected', '<p>You can close this page.</p>');
};

// ------------------------------------------------------------------------------------------------------- the provider

const configure = () => ({
  clients: settings.clients,
  cookies: { keys: ['only-for-tests'] },
  pkce: { required: () => true }, // S256 is the only method that this version knows
  scopes: ['openid', 'offline_access', 'profile', 'email', 'api:read', 'api:write'],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
  rotateRefreshToken: () => true, // using a spent one again ends the whole grant
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: () => now.access_token_ttl,
    AuthorizationCode: 60,
    DeviceCode: () => now.device_code_ttl,
    Grant: 86400,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true, userCodeInputSource, userCodeConfirmSource, successSource },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) =>
    people.has(id)
      ? { accountId: id, claims: () => ({ sub: id, name: id, preferred_username: id, email: `${id}@example.test` }) }
      : undefined,
});

const watch = (provider) => {
  const told = (event) => (ctx, error) =>
    log(event, {
      client: ctx.oidc?.client?.clientId ?? '-',
      user: ctx.oidc?.account?.accountId ?? ctx.oidc?.session?.accountId ?? '-',
      ...(ctx.oidc?.params?.grant_type && { grant: ctx.oidc.params.grant_type }),
      ...(error instanceof Error && { error: error.error_detail ?? error.message }),
    });
  const events = ['authorization.success', 'authorization.error', 'grant.success', 'grant.error', 'grant.revoked'];
  for (const event of [...events, 'revocation.success', 'revocation.error', 'server_error']) {
    provider.on(event, told(event));
  }
};

// --------------------------------------------------------------------------------------------- what a person sees

const button = (action, label, inputs = '') =>
  `<form method="post" action="${action}">${inputs}<button>${label}</button></form>`;

const ask = (res, { uid, prompt, params, session }) => {
  const cancel = button(`/interaction/${uid}/cancel`, 'Cancel');
  if (prompt.name === 'login') {
    const inputs = '<input name="login" placeholder="user"><input name="password" type="password">';
    return page(res, 200, 'Log in', button(`/interaction/${uid}`, 'Log in', inputs) + cancel);
  }
  const scopes = (prompt.details.missingOIDCScope ?? []).map(
    (scope) => `<label><input type="checkbox" name="scope" value="${escape(scope)}" checked>${escape(scope)}</label>`,
  );
  const who = `<p>${escape(params.client_id)} wants to act as ${escape(session.accountId)}.</p>`;
  return page(res, 200, 'Allow access', who + button(`/interaction/${uid}`, 'Allow', scopes.join(' ')) + cancel);
};

const login = (form) => {
  const [user, password] = [form.get('login'), form.get('password')];
  if (!people.has(user) || people.get(user) !== password) return undefined;
  log('login', { user });
  return { login: { accountId: user, remember: false } };
};

const consent = async (provider, form, { prompt, params, session, grantId }) => {
  const { accountId } = session;
  const clientId = params.client_id;
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId, clientId });
  for (const scope of prompt.details.missingOIDCScope ?? []) {
    if (form.getAll('scope').includes(scope)) grant.addOIDCScope(scope);
    else grant.rejectOIDCScope(scope);
  }
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  log('consent', { client: clientId, user: accountId });
  return { consent: { grantId: await grant.save() } };
};

const interact = async (provider, req, res, cancelled) => {
  const details = await provider.interactionDetails(req, res);
  if (req.method === 'GET') return ask(res, details);
  const form = new URLSearchParams(await body(req));
  if (cancelled) {
    log('cancelled', { client: details.params.client_id, user: details.session?.accountId ?? '-' });
    return provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'The user said no' });
  }
  const result = details.prompt.name === 'login' ? login(form) : await consent(provider, form, details);
  if (!result) return page(res, 401, 'Log in', '<p>Wrong user or password.</p>');
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
};

// ------------------------------------------------------------------------------------------- what a token's owner may do

const api = async (provider, req, res, pathname) => {
  const bearer = /^Bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
  const token = bearer && (await provider.AccessToken.find(bearer));
  const refuse = (status, error) => {
    log('api', { call: `${req.method} ${pathname}`, user: token ? token.accountId : '-', refused: error });
    json(res, status, { error }, { 'www-authenticate': `Bearer error="${error}"` });
  };
  if (!token?.isValid) return refuse(401, 'invalid_token');

  const user = token.accountId;
  const scopes = new Set(token.scope?.split(' '));
  if (!scopes.has(req.method === 'GET' ? 'api:read' : 'api:write')) return refuse(403, 'insufficient_scope');

  log('api', { call: `${req.method} ${pathname}`, user, client: token.clientId });
  switch (`${req.method} ${pathname}`) {
    case 'GET /api/me':
      return json(res, 200, { user, client: token.clientId, scope: token.scope });
    case 'GET /api/notes':
      return json(res, 200, notes.get(user));
    case 'POST /api/notes': {
      const { text } = JSON.parse(await body(req));
      const note = { id: notes.get(user).length + 1, author: user, text: String(text) };
      notes.get(user).push(note);
      return json(res, 201, note);
    }
    default:
      return json(res, 404, { error: 'not_found' });
  }
};

// ------------------------------------------------------------------------------------------------------------- faults

const control = async (req, res) => {
  const order = JSON.parse(await body(req));
  if (order.clear) {
    faults = [];
    now = { ...atStart };
    for (const own of notes.values()) own.length = 0;
  } else if (Object.keys(order).every((name) => name in now)) {
    Object.assign(now, order);
  } else {
    faults.push({ times: 1, ...order });
  }
  json(res, 200, faults);
};

// True where the request has been answered, or cut off, by a fault.
const faulty = async (req, res, pathname) => {
  const covers = (path) => pathname === path || (path.endsWith('/') && pathname.startsWith(path));
  const fault = faults.find(({ path, times }) => times > 0 && covers(path));
  if (!fault) return false;
  fault.times -= 1;
  log('fault', { call: `${req.method} ${pathname}` });
  if (fault.delay) await new Promise((wake) => setTimeout(wake, fault.delay));
  if (fault.drop) req.socket.destroy();
  else if (fault.status) json(res, fault.status, fault.body ?? { error: 'temporarily_unavailable' }, fault.headers);
  else return false;
  return true;
};

// ---------------------------------------------------------------------------------------------------------- the server

const answer = async (provider, req, res) => {
  const { pathname } = new URL(req.url, 'http://localhost');
  if (req.method === 'POST' && pathname === '/_rig') return control(req, res);
  if (await faulty(req, res, pathname)) return undefined;
  if (pathname.startsWith('/api/')) return api(provider, req, res, pathname);
  const interaction = /^\/interaction\/[^/]+(\/cancel)?$/.exec(pathname);
  if (interaction) return interact(provider, req, res, Boolean(interaction[1]));
  return provider.callback()(req, res);
};

const server = http.createServer();
server.listen(settings.port, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configure());
  watch(provider);
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === 'device_authorization' && ctx.status === 200) ctx.body.interval = now.interval;
  });
  server.on('request', async (req, res) => {
    try {
      await answer(provider, req, res);
    } catch (error) {
      log('error', { call: `${req.method} ${req.url.split('?')[0]}`, error: error.stack });
      if (!res.headersSent) page(res, 400, 'Error', `<p>${escape(error.error_description ?? error.message)}</p>`);
    }
  });
  log('listening', { issuer });
});

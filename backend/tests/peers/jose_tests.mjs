// jose and Countersign accept each other's tokens, and refuse the same ones.
import assert from "node:assert/strict";
import { createPublicKey, randomUUID } from "node:crypto";
import { once as event } from "node:events";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
// The example that people copy is what is tested.
import { guarded, verifier } from "../../../examples/node/verify.mjs";
import {
  ALGORITHMS, ASYMMETRIC, SECRET, SYMMETRIC, ask, claimsOf, countersign, forged, headerOf, newFolder, once, run, startCountersign,
  startService, tampered, test, until,
} from "./support.mjs";

// The example's own jose.
const require = createRequire(new URL("../../../examples/node/verify.mjs", import.meta.url));
const { SignJWT, UnsecuredJWT, errors, exportJWK, generateKeyPair } = await import(pathToFileURL(require.resolve("jose")));

const ISSUER = "https://issuer.example.com";
const AUDIENCE = "https://audience.example.com";
const REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti"];

// The example, for the shared server of an algorithm.
async function reader(algorithm, { issuer, ...settings } = {}) {
  const { server } = await countersign(algorithm);
  return verifier(issuer ?? server.origin, { algorithms: [algorithm], secret: server.secret, ...settings });
}

// Tokens of Countersign, read by jose.

for (const algorithm of ALGORITHMS) {
  test(`jose accepts ${algorithm} of countersign`, async () => {
    const { server, token } = await countersign(algorithm);
    const verify = await reader(algorithm);

    const claims = await verify(token);

    assert.equal(headerOf(token).alg, algorithm);
    assert.equal(claims.sub, await server.account(token));
  });

  test(`jose refuses ${algorithm} of countersign with other claims`, async () => {
    const { token } = await countersign(algorithm);
    const verify = await reader(algorithm);

    await assert.rejects(verify(tampered(token)), errors.JWSSignatureVerificationFailed);
  });

  test(`jose refuses ${algorithm} of countersign for another audience`, async () => {
    const { token } = await countersign(algorithm);
    const verify = await reader(algorithm, { audience: AUDIENCE });

    await assert.rejects(verify(token), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: "aud" });
  });

  test(`jose refuses ${algorithm} of countersign from another issuer`, async () => {
    const { server, token } = await countersign(algorithm);
    const jwksUrl = `${server.origin}/.well-known/jwks.json`;
    const verify = await reader(algorithm, { issuer: ISSUER, audience: server.origin, jwksUrl });

    await assert.rejects(verify(token), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: "iss" });
  });

  test(`jose refuses an unsigned token under ${algorithm}`, async () => {
    const { token } = await countersign(algorithm);
    const verify = await reader(algorithm);
    const unsigned = forged({ ...headerOf(token), alg: "none" }, claimsOf(token));

    await assert.rejects(verify(unsigned), errors.JOSEAlgNotAllowed);
  });
}

test("jose refuses an expired token of countersign", async () => {
  const server = await startCountersign("ES256", { TOKEN__ACCESS_TTL: "2s" });
  const token = await server.signUp();
  const verify = verifier(server.origin, { leeway: 0 });
  await verify(token);

  await until("the token is over", () => Date.now() > claimsOf(token).exp * 1000);

  await assert.rejects(verify(token), errors.JWTExpired);
});

test("jose accepts tokens from before and after a change of the algorithm", async () => {
  const settings = {
    folder: newFolder(),
    TOKEN__ISSUER: ISSUER,
    TOKEN__AUDIENCE: AUDIENCE,
    KEYS__PENDING_FOR: "1s",
    LIMITS__SCALE: "1000",
  };
  const old = await startCountersign("ES256", settings);
  const before = await old.signUp();
  await old.stop();
  // Published at once, and what signs a second later.
  const server = await startCountersign("EdDSA", settings);
  await until("the new key signs", async () => headerOf(await server.signUp()).alg === "EdDSA");
  const after = await server.signUp();

  const verify = verifier(ISSUER, {
    audience: AUDIENCE,
    algorithms: ["ES256", "EdDSA"],
    jwksUrl: `${server.origin}/.well-known/jwks.json`,
  });

  assert.deepEqual([before, after].map((token) => headerOf(token).alg), ["ES256", "EdDSA"]);
  await verify(before);
  await verify(after);
});

for (const algorithm of ASYMMETRIC) {
  test(`jose refuses HS256 by the public key of ${algorithm}`, async () => {
    const { server, token } = await countersign(algorithm);
    const verify = await reader(algorithm);
    const { body } = await ask(`${server.origin}/.well-known/jwks.json`);
    const header = { ...headerOf(token), alg: "HS256" };

    for (const secret of asSecrets(body.keys[0])) {
      await assert.rejects(verify(forged(header, claimsOf(token), secret)), errors.JOSEAlgNotAllowed);
    }
  });
}

test("jose refuses another kind of token of the same key", async () => {
  const { token } = await countersign("HS256");
  const verify = await reader("HS256");
  const signed = (typ) => forged({ ...headerOf(token), typ }, claimsOf(token), SECRET);

  await assert.rejects(verify(signed("JWT")), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: "typ" });
  await verify(signed("at+jwt"));
});

test("jose refuses a token without one of its claims", async () => {
  const { token } = await countersign("HS256");
  const verify = await reader("HS256");
  for (const missing of REQUIRED) {
    const { [missing]: _, ...claims } = claimsOf(token);

    await assert.rejects(verify(forged(headerOf(token), claims, SECRET)), { claim: missing, reason: "missing" });
  }
});

// Runs the example's server for the time of a test.
async function serving(verify, body) {
  const server = guarded(verify).listen(0, "127.0.0.1");
  await event(server, "listening");
  const answer = async (authorization) => {
    const headers = authorization === undefined ? {} : { Authorization: authorization };
    const { status, headers: received, body } = await ask(`http://127.0.0.1:${server.address().port}/`, { headers });
    return [status, received.get("WWW-Authenticate"), body];
  };
  try {
    await body(answer);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("the guarded address in Node lets the bearer of a token in and nobody else", async () => {
  const { server, token } = await countersign("ES256");
  const account = await server.account(token);

  await serving(await reader("ES256"), async (answer) => {
    assert.deepEqual(await answer(`bearer ${token}`), [200, null, { message: `the notes of ${account}` }]);
    assert.deepEqual((await answer()).slice(0, 2), [401, "Bearer"]);
    assert.deepEqual((await answer("Basic YTpi")).slice(0, 2), [401, "Bearer"]);
    for (const bad of ["", "x", tampered(token), `${token}.${token}`]) {
      assert.deepEqual((await answer(`Bearer ${bad}`)).slice(0, 2), [401, 'Bearer error="invalid_token"'], bad);
    }
  });
});

test("the guarded address in Node says so when it has no keys", async () => {
  const { token } = await countersign("ES256");

  // Nobody listens on port 1.
  await serving(verifier("http://127.0.0.1:1"), async (answer) => {
    assert.equal((await answer(`Bearer ${token}`))[0], 503);
  });
});

// Tokens of jose, read by Countersign's verifier.

// A public key in the forms that a confused verifier might take for a secret.
function asSecrets(jwk) {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const pem = key.export({ type: "spki", format: "pem" });
  return [pem, pem.trim(), key.export({ type: "spki", format: "der" }), JSON.stringify(jwk)];
}

// A key that Countersign did not make, and the same as it is published.
const keyOf = once(async (algorithm) => {
  const names = { kid: `peer-${algorithm}`, alg: algorithm, use: "sig" };
  if (SYMMETRIC.includes(algorithm)) {
    const secret = Buffer.from(SECRET);
    return { key: secret, jwk: { kty: "oct", k: secret.toString("base64url"), ...names } };
  }
  const { privateKey, publicKey } = await generateKeyPair(algorithm);
  return { key: privateKey, jwk: { ...(await exportJWK(publicKey)), ...names } };
});

const serviceOf = once(async (algorithms) => {
  const keys = await Promise.all(algorithms.map(keyOf));
  return startService({ keys: keys.map(({ jwk }) => jwk) }, ISSUER, AUDIENCE);
});

// What the service that knows the keys says to a token.
async function verdict(algorithm, token) {
  const address = await serviceOf(SYMMETRIC.includes(algorithm) ? SYMMETRIC : ASYMMETRIC);
  const { status, body } = await ask(address, { token });
  return [status, status === 200 ? body : body.code];
}

const seconds = () => Math.floor(Date.now() / 1000);

// What a token of Countersign says; `undefined` leaves a claim out.
function claims(others = {}) {
  const now = seconds();
  return {
    iss: ISSUER,
    sub: randomUUID(),
    aud: AUDIENCE,
    exp: now + 300,
    nbf: now,
    iat: now,
    jti: randomUUID(),
    sid: randomUUID(),
    auth_time: now,
    amr: ["pwd"],
    email: "ada@example.com",
    email_verified: false,
    ...others,
  };
}

const headers = (algorithm) => ({ alg: algorithm, typ: "at+jwt", kid: `peer-${algorithm}` });

// A token of jose.
async function minted(algorithm, others, header = {}) {
  const { key } = await keyOf(algorithm);
  return new SignJWT(claims(others)).setProtectedHeader({ ...headers(algorithm), ...header }).sign(key);
}

for (const algorithm of ALGORITHMS) {
  test(`countersign accepts ${algorithm} of jose`, async () => {
    const sub = randomUUID();

    assert.deepEqual(await verdict(algorithm, await minted(algorithm, { sub })), [200, sub]);
  });

  test(`countersign refuses ${algorithm} of jose with other claims`, async () => {
    assert.deepEqual(await verdict(algorithm, tampered(await minted(algorithm))), [401, "token_invalid"]);
  });

  test(`countersign refuses ${algorithm} of jose for another audience`, async () => {
    assert.deepEqual(await verdict(algorithm, await minted(algorithm, { aud: ISSUER })), [401, "token_invalid"]);
  });

  test(`countersign refuses ${algorithm} of jose that has expired`, async () => {
    const past = seconds() - 600;
    const expired = await minted(algorithm, { iat: past, nbf: past, exp: past + 300 });

    assert.deepEqual(await verdict(algorithm, expired), [401, "token_expired"]);
  });

  test(`countersign refuses an unsigned token of jose under ${algorithm}`, async () => {
    const bare = new UnsecuredJWT(claims()).encode();
    const named = forged({ ...headers(algorithm), alg: "none" }, claims());

    assert.deepEqual(await verdict(algorithm, bare), [401, "token_invalid"]);
    assert.deepEqual(await verdict(algorithm, named), [401, "token_invalid"]);
  });
}

for (const algorithm of ASYMMETRIC) {
  test(`countersign refuses HS256 by the public ${algorithm} key of jose`, async () => {
    const { jwk } = await keyOf(algorithm);

    for (const secret of asSecrets(jwk)) {
      const token = forged({ ...headers(algorithm), alg: "HS256" }, claims(), secret);
      assert.deepEqual(await verdict(algorithm, token), [401, "token_invalid"]);
    }
  });
}

test("countersign refuses other kinds of tokens, keys and lives of jose", async () => {
  const now = seconds();
  const { jwk } = await keyOf("ES256");
  for (const [what, header, others] of [
    ["typ JWT", { typ: "JWT" }, {}],
    ["no typ", { typ: undefined }, {}],
    ["another key's name", { kid: "peer-ES384" }, {}],
    ["an unknown key's name", { kid: "peer" }, {}],
    ["a key in the header", { jwk }, {}],
    ["longer than ours", {}, { exp: now + 86_400 }],
    ["only later", {}, { nbf: now + 600 }],
    ["issued later", {}, { iat: now + 600 }],
    ["another issuer", {}, { iss: AUDIENCE }],
    ["no name of its own", {}, { jti: undefined }],
    ["no account's id", {}, { sub: "ada@example.com" }],
  ]) {
    const token = await minted("ES256", others, header);

    assert.deepEqual(await verdict("ES256", token), [401, "token_invalid"], what);
  }
});

for (const algorithm of SYMMETRIC) {
  test(`a countersign with the same ${algorithm} secret accepts jose for a session that lives and no other`, async () => {
    const { server, token } = await countersign(algorithm);
    const theirs = { ...claimsOf(token), jti: randomUUID() };
    const status = async (body) => {
      const signed = await new SignJWT(body).setProtectedHeader(headerOf(token)).sign(Buffer.from(SECRET));
      return (await ask(`${server.origin}/protected`, { token: signed })).status;
    };

    assert.equal(await status(theirs), 200);
    assert.equal(await status({ ...theirs, sid: randomUUID() }), 401);
  });
}

await run();

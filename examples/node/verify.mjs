// A Node service that accepts the access tokens of a Countersign, by jose.
//
// Beside a `countersign serve` on port 3000, which signs by ES256 unless it was told otherwise:
//
//   npm ci
//   node verify.mjs http://127.0.0.1:3000
//   curl http://127.0.0.1:4002/ -H "Authorization: Bearer $TOKEN"
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

// A claim that may be absent would be a check that may be skipped.
const REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti"];

// A function from a token to its claims, which throws for a bad one. `secret` (bytes) is for HS256,
// HS384 and HS512, where there are no public keys.
export function verifier(issuer, { audience = issuer, algorithms = ["ES256"], jwksUrl, secret, leeway = 10 } = {}) {
  // The set is kept for five minutes, as its Cache-Control says. A key that is not in it is asked
  // for at once, but at most every 30 seconds: anybody can invent a `kid`.
  const keys =
    secret ??
    createRemoteJWKSet(new URL(jwksUrl ?? `${issuer}/.well-known/jwks.json`), {
      cacheMaxAge: 300_000,
      cooldownDuration: 30_000,
      timeoutDuration: 5_000,
    });
  return async (token) => {
    const { payload } = await jwtVerify(token, keys, {
      // Never what the token says: it would choose how it is checked.
      algorithms,
      issuer,
      audience,
      // Without this any token of the same key would be an access token.
      typ: "at+jwt",
      clockTolerance: leeway,
      requiredClaims: REQUIRED,
    });
    return payload;
  };
}

// Whether the keys could not be had: then nobody can say whether the token is good.
const isUnavailable = (error) =>
  !(error instanceof errors.JOSEError) ||
  ["ERR_JOSE_GENERIC", "ERR_JWKS_INVALID", "ERR_JWKS_TIMEOUT"].includes(error.code);

// An HTTP server behind such a function.
export function guarded(verify) {
  return createServer(async (request, response) => {
    const answer = (status, body, headers = {}) => {
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const [scheme, token = ""] = (request.headers.authorization ?? "").split(/ +/, 2);
    if (scheme.toLowerCase() !== "bearer") {
      return answer(401, { error: "no token" }, { "WWW-Authenticate": "Bearer" });
    }
    try {
      const claims = await verify(token);
      // `sub` is the account's id, and stays when the address changes.
      answer(200, { message: `the notes of ${claims.sub}` });
    } catch (error) {
      if (isUnavailable(error)) return answer(503, { error: "no keys" }, { "Retry-After": "2" });
      answer(401, { error: "bad token" }, { "WWW-Authenticate": 'Bearer error="invalid_token"' });
    }
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [issuer] = process.argv.slice(2);
  if (issuer === undefined) {
    console.error("usage: verify.mjs ISSUER");
    process.exit(2);
  }
  guarded(verifier(issuer)).listen(4002, "127.0.0.1", () => {
    console.log("listening on http://127.0.0.1:4002/");
  });
}

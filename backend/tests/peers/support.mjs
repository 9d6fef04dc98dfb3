// What the tests stand on: a runner that names each, servers of their own, forgeries.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const ASYMMETRIC = ["ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
export const SYMMETRIC = ["HS256", "HS384", "HS512"];
export const ALGORITHMS = [...ASYMMETRIC, ...SYMMETRIC];
// Long enough for HS512.
export const SECRET = "one secret for both sides, of sixty-four bytes and a few more, for tests";
const PASSWORD = "violet tractor sings 47 lullabies";
const LIMIT_MS = 30_000;
const { COUNTERSIGN_BIN, PEER_SERVICE } = process.env;
if (!COUNTERSIGN_BIN || !PEER_SERVICE) throw new Error("`cargo xtask test peers` says where the programs are");

const tests = [];
const children = [];
const folders = [];
// However this ends, what it started ends too.
process.on("exit", () => {
  for (const child of children) child.kill();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
process.on("SIGTERM", () => process.exit(143));
process.on("SIGINT", () => process.exit(130));

// Names a test; a sentence.
export const test = (name, body) => tests.push({ name, body });

// Runs the tests. The last line is the count that xtask reads.
export async function run() {
  let failed = 0;
  for (const { name, body } of tests) {
    try {
      await body();
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
  console.log(`${tests.length - failed} passed, ${failed} failed`);
  process.exit(tests.length > 0 && failed === 0 ? 0 : 1);
}

export async function until(what, claim, limit = LIMIT_MS) {
  const end = Date.now() + limit;
  while (!(await claim())) {
    assert.ok(Date.now() < end, `not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Gives the value of a function's first call to all others with the same argument.
export function once(make) {
  const made = new Map();
  return (argument) => {
    if (!made.has(argument)) made.set(argument, make(argument));
    return made.get(argument);
  };
}

export function newFolder() {
  const folder = mkdtempSync(join(tmpdir(), "countersign-peers-"));
  folders.push(folder);
  return folder;
}

// Starts a program and waits for the line in which `find` finds something.
async function start(program, args, stream, find, options) {
  const child = spawn(program, args, options);
  children.push(child);
  const stop = () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
      child.once("exit", () => resolve(clearTimeout(last)));
      child.kill();
    });
  const log = [];
  const found = await new Promise((resolve, reject) => {
    const give = (why) => reject(new Error(`${program} ${why}:\n${log.join("\n")}`));
    const last = setTimeout(() => give(`said nothing within ${LIMIT_MS} ms`), LIMIT_MS);
    child.once("error", reject);
    // Read to the end: a full pipe would hold the program up.
    createInterface({ input: child[stream] })
      .on("line", (line) => {
        log.push(line);
        const found = find(line);
        if (found) {
          clearTimeout(last);
          resolve(found);
        }
      })
      .on("close", () => {
        clearTimeout(last);
        give("ended");
      });
  });
  return { found, stop };
}

const addressIn = (line) => {
  try {
    return JSON.parse(line).fields?.address;
  } catch {
    return undefined;
  }
};

// A running `countersign serve` on a free port, its data in a folder that is empty at first.
export async function startCountersign(algorithm, { folder = newFolder(), ...settings } = {}) {
  // What the suite was started with is its own business.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_"));
  const secret = SYMMETRIC.includes(algorithm) ? SECRET : undefined;
  const all = {
    LIMITS__SCALE: "1000",
    LOG__FORMAT: "json",
    TOKEN__ALGORITHM: algorithm,
    ...(secret && { TOKEN__SECRET: secret }),
    ...settings,
  };
  const ours = Object.entries(all).map(([name, value]) => [`COUNTERSIGN_${name}`, value]);
  const { found, stop } = await start(COUNTERSIGN_BIN, ["serve", "--port", "0"], "stderr", addressIn, {
    cwd: folder,
    env: Object.fromEntries([...inherited, ...ours]),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const origin = `http://${found}`;
  return {
    origin,
    stop,
    secret: secret && Buffer.from(secret),
    // The access token of a new account.
    signUp: async () => {
      const credentials = { email: `${randomUUID()}@example.com`, password: PASSWORD };
      const { status, body } = await ask(`${origin}/auth/register`, { body: credentials });
      assert.equal(status, 201, JSON.stringify(body));
      return body.access_token;
    },
    // The id of the account of a token.
    account: async (token) => (await ask(`${origin}/auth/me`, { token })).body.id,
  };
}

// The server of an algorithm that the tests share, and a token of it.
export const countersign = once(async (algorithm) => {
  const server = await startCountersign(algorithm);
  return { server, token: await server.signUp() };
});

// Starts the service that knows these keys alone (service.rs); gives its address.
export async function startService(jwks, issuer, audience) {
  const file = join(newFolder(), "jwks.json");
  writeFileSync(file, JSON.stringify(jwks));
  const { found } = await start(PEER_SERVICE, [file, issuer, audience], "stdout", (line) => line, {
    stdio: ["pipe", "pipe", "inherit"],
  });
  return found;
}

// What an address answers.
export async function ask(url, { token, body, headers = {} } = {}) {
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  const text = await answer.text();
  const isJson = answer.headers.get("Content-Type")?.includes("json");
  return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (segment) => JSON.parse(Buffer.from(segment, "base64url"));

export const headerOf = (token) => decode(token.split(".")[0]);
export const claimsOf = (token) => decode(token.split(".")[1]);

// The token of somebody else, with the signature as it was.
export function tampered(token) {
  const [header, , signature] = token.split(".");
  return [header, encode({ ...claimsOf(token), sub: randomUUID() }), signature].join(".");
}

// A token by hand, since a good library refuses to make it: signed by HMAC with any bytes, or not at
// all.
export function forged(header, claims, secret) {
  const parts = `${encode(header)}.${encode(claims)}`;
  const signature = secret ? createHmac("sha256", secret).update(parts).digest("base64url") : "";
  return `${parts}.${signature}`;
}

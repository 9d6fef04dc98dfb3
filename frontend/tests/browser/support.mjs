// What the tests stand on: a server of their own each, a browser, and waits that end.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const WAIT_MS = 15000;
export const PASSWORD = "violet tractor sings 47 lullabies";
let people = 0;
export const newEmail = () => `ada${++people}@example.com`;

const program = (name) => {
  const path = process.env[name];
  if (!path) throw new Error(`${name} must name a binary`);
  return path;
};

export const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

export async function until(what, claim, limit = WAIT_MS) {
  const end = Date.now() + limit;
  for (;;) {
    if (await claim()) return;
    if (Date.now() > end) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Ends a process that we started, and waits for its end.
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const last = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(last);
}

export const startServer = (env = {}) =>
  start(program("COUNTERSIGN_BIN"), () => ["serve"], (port) => ({
    COUNTERSIGN_SERVER__LISTEN: `127.0.0.1:${port}`,
    COUNTERSIGN_LIMITS__SCALE: "1000",
    ...env,
  }));

// The example, in which sign-in is mounted.
export const startNotes = () => start(program("NOTES_BIN"), (port) => [String(port)], () => ({}));

async function start(binary, args, env) {
  const folder = await mkdtemp(join(tmpdir(), "countersign-browser-"));
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_")),
  );
  const child = spawn(binary, args(port), {
    cwd: folder,
    env: { ...inherited, ...env(port) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stdout.on("data", (text) => (log += text));
  child.stderr.on("data", (text) => (log += text));
  const server = {
    origin,
    child,
    port,
    close: async () => {
      await stop(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await until("the server is ready", async () => {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${log}`);
      return fetch(`${origin}/readyz`).then((answer) => answer.ok, () => false);
    });
  } catch (error) {
    await server.close();
    throw new Error(`${error.message}\n${log}`);
  }
  return server;
}

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });

// A fresh profile whose pages are watched: whatever they complain about is in `complaints`.
export async function newProfile(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(WAIT_MS);
  const complaints = [];
  await context.exposeBinding("reportViolation", (_, text) => complaints.push(`CSP: ${text}`));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  context.on("page", (page) => {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`page: ${error.message}`));
  });
  return { context, complaints };
}

export async function fill(page, email, password) {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
}

export async function signUp(page, origin, email = newEmail()) {
  await page.goto(`${origin}/sign-up`);
  await fill(page, email, PASSWORD);
  await page.locator("form").getByRole("button", { name: "Create account" }).click();
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  return email;
}

export async function signIn(page, email, password = PASSWORD) {
  await fill(page, email, password);
  await page.locator("form").getByRole("button", { name: "Sign in" }).click();
}

export const storedToken = (page) => page.evaluate(() => localStorage.getItem("jwt"));
export const pass = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Claims something over and over for a while.
export async function always(what, claim, milliseconds) {
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    if (!(await claim())) throw new Error(`no longer: ${what}`);
    await pass(250);
  }
}

// The statuses of all answers to a path, as they come, in whatever tab.
export function answersTo(context, path) {
  const statuses = [];
  context.on("response", (response) => new URL(response.url()).pathname === path && statuses.push(response.status()));
  return statuses;
}

export const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";

// Another device of the same person.
export async function newDevice(browser, origin, email, later) {
  const { context } = await newProfile(browser, { userAgent: FIREFOX });
  later(() => context.close());
  const page = await context.newPage();
  await page.goto(`${origin}/sign-in`);
  await signIn(page, email);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  return page;
}

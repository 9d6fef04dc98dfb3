// What the example `notes` promises: sign-in inside somebody's own application and pages.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join as path } from "node:path";
import { fileURLToPath } from "node:url";
import { PASSWORD, answersTo, fill, newEmail, newProfile, pass, startNotes, storedToken, until } from "./support.mjs";

// Chromium itself logs every answer of 4xx, and every call that reaches nobody.
const REFUSED = [/Failed to load resource: the server responded with a status of 4\d\d/];
const CUT = [/Failed to load resource: net::ERR_FAILED/];
const MEMORY = "/?storage=memory";
const AXE = path(dirname(fileURLToPath(import.meta.url)), "node_modules/axe-core/axe.min.js");

export const tests = [];
const test = (name, body, options = {}) => tests.push({ name, body, start: startNotes, ...options });

const field = (page) => page.getByLabel("What is to be done?");
const note = (page, text) => page.getByRole("checkbox", { name: text });
const form = (page) => page.locator("form").getByRole("button", { name: "Sign in" });

async function join(page, origin, path = "/") {
  const email = newEmail();
  await page.goto(origin + path);
  await page.getByRole("button", { name: "I am new here" }).click();
  await fill(page, email, PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await field(page).waitFor();
  return email;
}

async function add(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
  await note(page, text).waitFor();
}

test("in an application each person has their own notes, and strangers the form", async ({ browser, page, origin, later }) => {
  const email = await join(page, origin);
  await add(page, "water the plants");
  const { context } = await newProfile(browser);
  later(() => context.close());
  const other = await context.newPage();

  await join(other, origin);
  await add(other, "feed the cat");

  assert.equal(await note(other, "water the plants").count(), 0);
  await page.reload();
  await note(page, "water the plants").waitFor();
  assert.equal(await note(page, "feed the cat").count(), 0);
  // The one's token does not reach the other's note either.
  const token = await storedToken(other);
  const request = { method: "DELETE", headers: { Authorization: `Bearer ${token}` } };
  assert.equal((await fetch(`${origin}/notes/1`, request)).status, 404);
  assert.equal((await fetch(`${origin}/notes`)).status, 401);
  await page.getByRole("button", { name: "Sign out" }).click();
  await form(page).waitFor();
  assert.equal(await page.getByText("water the plants").count(), 0);
  assert.equal(await page.getByText(email).count(), 0);
});

test("in an application a note is done, undone and deleted", async ({ page, origin }) => {
  await join(page, origin);
  await add(page, "water the plants");

  await note(page, "water the plants").check();
  await page.reload();
  await until("it stays done", () => note(page, "water the plants").isChecked());
  await note(page, "water the plants").press("Space");
  await until("it is undone", async () => !(await note(page, "water the plants").isChecked()));
  assert.ok(await note(page, "water the plants").evaluate((box) => box === document.activeElement), "the focus stays");
  await page.getByRole("button", { name: "Delete water the plants" }).click();

  await note(page, "water the plants").waitFor({ state: "detached" });
});

test("in an application a refused token is replaced, and the request sent again", async ({ page, context, origin }) => {
  await join(page, origin);
  const stale = await page.evaluate(() => {
    const token = localStorage.getItem("jwt");
    const last = token.at(-5) === "A" ? "B" : "A";
    localStorage.setItem("jwt", token.slice(0, -5) + last + token.slice(-4));
    return localStorage.getItem("jwt");
  });
  const [notes, refreshes] = ["/notes", "/auth/refresh"].map((path) => answersTo(context, path));
  await page.reload();
  await field(page).waitFor();
  await until("the notes come", () => notes.length === 2);

  await add(page, "water the plants");

  assert.deepEqual(notes.slice(0, 2), [401, 200]);
  assert.deepEqual(refreshes, [200]);
  assert.notEqual(await storedToken(page), stale);
}, { allowed: REFUSED });

test("in an application a route that refuses every token ends no session", async ({ page, context, origin }) => {
  await join(page, origin);
  const problem = { type: "urn:countersign:problem:token_invalid", title: "x", status: 401, detail: "No such key.", code: "token_invalid" };
  let asked = 0;
  await page.route("**/notes", (route) => {
    asked += 1;
    return route.fulfill({ status: 401, headers: { "Content-Type": "application/problem+json" }, body: JSON.stringify(problem) });
  });

  await field(page).fill("water the plants");
  await field(page).press("Enter");

  await page.getByRole("alert").filter({ hasText: "No such key." }).waitFor();
  assert.equal(await field(page).inputValue(), "water the plants", "what was typed stays");
  assert.ok(asked <= 6, `asked ${asked} times`);
  await page.unroute("**/notes");
  await page.reload();
  await field(page).waitFor();
  assert.notEqual(await storedToken(page), null);
}, { allowed: REFUSED });

test("the pages that are mounted in an application lead back into it", async ({ page, origin }) => {
  const email = await join(page, origin);
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByText("This device").waitFor();
  await page.getByRole("link", { name: "Countersign", exact: true }).click();
  await field(page).waitFor();

  await page.goBack();
  await page.getByText("This device").waitFor();
  await page.locator("header").getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "I am new here" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/");

  for (const there of ["/", "/?from=the+mail#notes"]) {
    await page.goto(`${origin}/sign-in?return_to=${encodeURIComponent(there)}`);
    await fill(page, email, PASSWORD);
    await form(page).click();
    await field(page).waitFor();
    assert.equal(page.url(), origin + there);
    await page.getByRole("button", { name: "Sign out" }).click();
    await form(page).waitFor();
  }
});

test("a token that is kept in memory is in no storage, and the cookie brings the session back", async ({ page, origin }) => {
  await join(page, origin, MEMORY);
  await add(page, "water the plants");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);

  await page.reload();

  await note(page, "water the plants").waitFor();
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
  await page.getByRole("button", { name: "Sign out" }).click();
  await form(page).waitFor();
  await page.reload();
  await form(page).waitFor();
}, { allowed: REFUSED });

test("nothing is shown before it is known whether somebody is signed in", async ({ page, origin }) => {
  await join(page, origin, MEMORY);
  let answer;
  await page.route("**/auth/refresh", async (route) => {
    await new Promise((resolve) => (answer = resolve));
    await route.continue();
  });
  await page.reload();
  await until("the server is asked", () => answer !== undefined);
  await pass(300);

  assert.equal(await page.locator("main form, main ul, main footer").count(), 0);
  answer();
  await field(page).waitFor();
}, { allowed: REFUSED });

test("a page with its token in memory waits for a server that is away, and goes on by itself", async ({ page, origin }) => {
  await join(page, origin, MEMORY);
  await add(page, "water the plants");
  await page.route("**/auth/refresh", (route) => route.abort());
  await page.reload();

  await page.getByText("The server cannot be reached.").waitFor();
  assert.equal(await form(page).count(), 0);
  await page.unroute("**/auth/refresh");

  await note(page, "water the plants").waitFor();
  assert.equal(await page.getByText("The server cannot be reached.").count(), 0);
}, { allowed: [...REFUSED, ...CUT] });

test("a sign-out that the server did not hear of is one, also with the token in memory", async ({ page, origin }) => {
  await join(page, origin, MEMORY);
  await page.route("**/auth/logout", (route) => route.abort());
  await page.getByRole("button", { name: "Sign out" }).click();
  await form(page).waitFor();
  await page.unroute("**/auth/logout");

  const told = page.waitForResponse("**/auth/logout");
  await page.reload();

  await form(page).waitFor();
  assert.equal((await told).status(), 204);
  await until("nothing is left to be told", () => page.evaluate(() => localStorage.length === 0));
}, { allowed: [...REFUSED, ...CUT] });

test("in an application no page has an accessibility fault or overflows", async ({ browser, origin, later }) => {
  const axe = await readFile(AXE, "utf8");
  const shots = process.env.COUNTERSIGN_SCREENSHOTS;
  if (shots) await mkdir(shots, { recursive: true });
  for (const [look, options] of [
    ["light", { colorScheme: "light", viewport: { width: 900, height: 700 } }],
    ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
  ]) {
    const { context } = await newProfile(browser, options);
    later(() => context.close());
    const page = await context.newPage();
    const inspect = async (name) => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`), [], `${name}, ${look}`);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= options.viewport.width, `${name} is ${width} wide`);
      if (shots) await page.screenshot({ path: path(shots, `notes-${name}-${look}.png`) });
    };
    await page.goto(origin);
    await form(page).waitFor();
    await form(page).click();
    await page.getByText("2 fields need attention.").waitFor();
    await inspect("sign-in");
    await join(page, origin);
    await add(page, "water the plants");
    await add(page, "a note of one word: donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft");
    await note(page, "water the plants").check();
    await inspect("list");
  }
});

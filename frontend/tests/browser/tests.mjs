// What the pages promise, a sentence each.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  FIREFOX, PASSWORD, always, answersTo, fill, freePort, newDevice, newEmail, newProfile, pass, signIn, signUp, stop, storedToken, until,
} from "./support.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
// Chromium itself logs every answer of 4xx and 5xx, and every call that reaches nobody.
const REFUSED = [/Failed to load resource: the server responded with a status of 4\d\d/];
const AWAY = [/Failed to load resource: net::ERR_CONNECTION_REFUSED/];
// What it logs where a test keeps a call from reaching the server.
const CUT = [/Failed to load resource: net::ERR_(FAILED|INTERNET_DISCONNECTED)/];
const FAULTS = [/Failed to load resource: the server responded with a status of 503/];
// Tokens that are over in seconds. A refresh is due after about three and a half.
const TTL_SECONDS = 5;
const SHORT = { COUNTERSIGN_TOKEN__ACCESS_TTL: `${TTL_SECONDS}s`, COUNTERSIGN_TOKEN__LEEWAY: "0s" };
const SOAK_SECONDS = Number(process.env.COUNTERSIGN_SOAK_SECONDS || 25);
const PAGES = ["/", "/index", "/sign-in", "/sign-up", "/no-such-page"];

export const tests = [];
const test = (name, body, options = {}) => tests.push({ name, body, ...options });
const main = (page) => page.locator("main");

test("creating an account signs in and shows the protected message and the lesson", async ({ page, origin }) => {
  const email = await signUp(page, origin);

  assert.equal(new URL(page.url()).pathname, "/");
  const lesson = page.getByRole("region", { name: "What just happened" });
  await lesson.getByText(`{"message":"welcome ${email}"}`).waitFor();
  assert.match(await lesson.innerText(), /Authorization: Bearer eyJ\S{9}…\S{6}\n/);
  assert.match(await lesson.innerText(), /Expires in (8[89]\d|900) seconds/);
  await lesson.getByRole("rowheader", { name: "sub", exact: true }).waitFor();
  const token = await storedToken(page);
  assert.match(token, /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/, "stored raw, without quotes");
  assert.ok(!(await page.content()).includes(token), "the whole token is nowhere on the page");
});

test("the seconds to expiry count down", async ({ page, origin }) => {
  await signUp(page, origin);
  const seconds = async () => Number((await page.getByRole("timer").innerText()).match(/\d+/)[0]);

  const first = await seconds();
  await until("it counts", async () => (await seconds()) < first, 5000);
});

test("an account signs in again", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await main(page).getByRole("link", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();

  await signIn(page, email);

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
});

test("a wrong password says so, keeps the address and takes the focus", async ({ page, origin }) => {
  const email = newEmail();
  await page.goto(`${origin}/sign-in`);
  await signIn(page, email, "not the right password");

  const summary = page.getByRole("alert").filter({ hasText: /./ });
  await summary.waitFor();
  assert.match(await summary.innerText(), /wrong|do not (fit|match)/i);
  assert.equal(await page.getByLabel("Email").inputValue(), email);
  assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), "");
  assert.match(await page.title(), /^Error: Sign in/);
  await until("the summary has the focus", () => summary.evaluate((node) => node === document.activeElement));
  assert.equal(await storedToken(page), null);
}, { allowed: REFUSED });

test("a form that cannot hold names each field and sends nothing", async ({ page, origin }) => {
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await page.goto(`${origin}/sign-up`);
  await fill(page, "ada", "short");
  await page.locator("form").getByRole("button", { name: "Create account" }).click();

  await page.getByText("2 fields need attention.").waitFor();
  for (const [label, text] of [["Email", /name@example\.com/], ["Password", /This has 5 characters; 15 are needed\./]]) {
    const field = page.getByLabel(label, { exact: true });
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    const id = (await field.getAttribute("aria-describedby")).split(" ")[0];
    assert.match(await page.locator(`#${id}`).innerText(), text);
  }
  await page.getByRole("alert").getByRole("link", { name: /15 are needed/ }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "password");
  assert.equal(await page.getByLabel("Email").inputValue(), "ada");
  assert.deepEqual(sent, []);
});

test("what only the server knows stands beside its field", async ({ page, origin }) => {
  await page.goto(`${origin}/sign-up`);
  await fill(page, newEmail(), "passwordpassword");
  await page.locator("form").getByRole("button", { name: "Create account" }).click();

  await page.locator("#password-error").getByText(/most common/).waitFor();
}, { allowed: REFUSED });

test("a taken address is said", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await page.goto(`${origin}/sign-up`);
  await fill(page, email, PASSWORD);
  await page.locator("form").getByRole("button", { name: "Create account" }).click();

  await page.getByRole("alert").filter({ hasText: /account|taken/i }).waitFor();
  assert.equal(await storedToken(page), null);
}, { allowed: REFUSED });

test("pressing twice sends once", async ({ page, origin }) => {
  let calls = 0;
  await page.route("**/auth", async (route) => {
    calls += 1;
    await new Promise((resolve) => setTimeout(resolve, 500));
    await route.continue();
  });
  await page.goto(`${origin}/sign-in`);
  await fill(page, newEmail(), PASSWORD);
  await page.locator("form").evaluate((form) => {
    form.requestSubmit();
    form.requestSubmit();
  });
  await page.getByText("Signing in…").waitFor();
  await page.locator("form").evaluate((form) => form.requestSubmit());

  await page.getByRole("alert").filter({ hasText: /./ }).waitFor();
  assert.equal(calls, 1);
}, { allowed: REFUSED });

test("the password can be shown, and is hidden again when sent", async ({ page, origin }) => {
  await page.goto(`${origin}/sign-in`);
  await fill(page, newEmail(), "let me see");
  const field = page.locator("#password");
  await page.getByRole("button", { name: "Show password" }).click();
  assert.equal(await field.getAttribute("type"), "text");
  await page.getByRole("status").filter({ hasText: "Your password is shown." }).waitFor({ state: "attached" });

  await page.locator("form").getByRole("button", { name: "Sign in" }).click();

  assert.equal(await field.getAttribute("type"), "password");
  await page.getByRole("alert").filter({ hasText: /./ }).waitFor();
}, { allowed: REFUSED });

test("a reload stays signed in", async ({ page, origin }) => {
  const email = await signUp(page, origin);

  await page.reload();

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
});

test("a script finds the token where the contract says", async ({ page, origin }) => {
  const email = await signUp(page, origin);

  const answer = await page.evaluate(async () => {
    const answer = await fetch("/protected", {
      method: "post",
      headers: { Authorization: `Bearer ${localStorage.getItem("jwt")}` },
    });
    return { status: answer.status, body: await answer.json() };
  });

  assert.deepEqual(answer, { status: 200, body: { message: `welcome ${email}` } });
});

test("signing out clears the token, and the server refuses the old one", async ({ page, origin }) => {
  await signUp(page, origin);
  const token = await storedToken(page);
  const ask = () => fetch(`${origin}/protected`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal((await ask()).status, 200);

  await page.getByRole("button", { name: "Sign out" }).click();

  await page.getByText("You are signed out.").waitFor();
  assert.equal(await storedToken(page), null);
  await until("the server refuses it", async () => (await ask()).status === 401);
});

test("signing out waits for nobody, and who signs in again meanwhile stays", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  const token = await storedToken(page);
  const other = await context.newPage();
  await other.goto(origin);
  const logouts = [];
  await page.route("**/auth/logout", async (route) => {
    logouts.push(route.request().headers().authorization);
    await pass(3000);
    await route.continue();
  });
  const answers = answersTo(context, "/auth/logout");

  await page.getByRole("button", { name: "Sign out" }).click();

  await page.getByText("You are signed out.").waitFor({ timeout: 1000 });
  await other.getByText("Your session ended in another tab.").waitFor({ timeout: 1000 });
  await until("the focus is on the heading", () => page.evaluate(() => document.activeElement.tagName === "H1"));
  await main(page).getByRole("link", { name: "Sign in" }).click();
  await signIn(page, email);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.deepEqual([logouts, answers], [[`Bearer ${token}`], [204]]);
  const before = await storedToken(page);
  await until("the cookie is the new session's", async () => (await storedToken(page)) !== before);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
}, { env: SHORT });

test("signing in leads back to where it was asked for", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();

  await page.goto(`${origin}/sign-in?return_to=%2Findex`);
  await signIn(page, email);

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.equal(page.url(), `${origin}/index`);
});

test("signing in never leads to a foreign origin", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  const foreign = [];
  page.on("request", (request) => request.url().startsWith(origin) || foreign.push(request.url()));
  for (const target of ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"]) {
    await page.evaluate(() => localStorage.clear());
    await page.goto(`${origin}/sign-in?return_to=${encodeURIComponent(target)}`);
    await signIn(page, email);
    await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
    assert.equal(page.url(), `${origin}/`, target);
  }
  assert.deepEqual(foreign, []);
});

test("an expired token that cannot be replaced leads to sign in, and back", async ({ page, origin }) => {
  await signUp(page, origin);
  await page.goto(`${origin}/index`);
  await page.context().clearCookies();

  await page.getByText("Your session has expired. Sign in to go on.").waitFor();
  assert.equal(page.url(), `${origin}/sign-in?return_to=%2Findex`);
  assert.equal(await storedToken(page), null);
  await page.getByRole("link", { name: "Countersign" }).click();
  await page.getByRole("heading", { name: /Sign-in that you can follow/ }).waitFor();
  await always("home stays", () => page.url() === `${origin}/`, 1000);
}, { env: SHORT, allowed: REFUSED });

test("a session that the server ended leads to sign in", async ({ page, origin }) => {
  await signUp(page, origin);
  const token = await storedToken(page);
  await fetch(`${origin}/auth/logout`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });

  await page.reload();

  await page.getByText("Your session was ended. Sign in to go on.").waitFor();
  assert.equal(await storedToken(page), null);
}, { allowed: REFUSED });

test("signing in and out in one tab shows in the other", async ({ page, context, origin }) => {
  const other = await context.newPage();
  await other.goto(origin);
  await other.getByRole("heading", { name: /Sign-in that you can follow/ }).waitFor();
  const email = await signUp(page, origin);
  await other.getByRole("heading", { name: `welcome ${email}` }).waitFor();

  await page.getByRole("button", { name: "Sign out" }).click();

  await other.getByText("Your session ended in another tab.").waitFor();
});

test("two tabs stay signed in over many tokens, with one refresh for each", async ({ page, context, origin }) => {
  const refreshes = answersTo(context, "/auth/refresh");
  const email = await signUp(page, origin);
  const other = await context.newPage();
  await other.goto(origin);
  await other.getByRole("heading", { name: `welcome ${email}` }).waitFor();

  await always("both are signed in", async () => {
    for (const tab of [page, other]) {
      if ((await tab.locator("h1").innerText()) !== `welcome ${email}`) return false;
      if ((await storedToken(tab)) === null) return false;
    }
    return true;
  }, SOAK_SECONDS * 1000);

  assert.deepEqual(refreshes.filter((status) => status !== 200), []);
  const lives = SOAK_SECONDS / TTL_SECONDS;
  const seen = `${refreshes.length} refreshes in ${lives} lives of a token`;
  if (process.env.COUNTERSIGN_SOAK_SECONDS) console.log(`        ${seen}`);
  assert.ok(refreshes.length >= Math.floor(lives), seen);
  assert.ok(refreshes.length <= lives * 1.6 + 1, seen);
}, { env: SHORT, limit: SOAK_SECONDS * 1000 + 60000 });

test("a sign-out in one tab ends the other at once, and for good", async ({ page, context, origin }) => {
  await signUp(page, origin);
  const other = await context.newPage();
  await other.goto(origin);

  await other.getByRole("button", { name: "Sign out" }).click();

  await other.getByText("You are signed out.").waitFor();
  await page.getByText("Your session ended in another tab.").waitFor({ timeout: 1000 });
  await always("no token comes back", async () => (await storedToken(page)) === null, (TTL_SECONDS + 2) * 1000);
  assert.equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
}, { env: SHORT, allowed: REFUSED });

test("a sign-out wins against a refresh whose answer is still on its way", async ({ page, context, origin }) => {
  await signUp(page, origin);
  let asked = 0;
  let answered = 0;
  await page.route("**/auth/refresh", async (route) => {
    asked += 1;
    const response = await route.fetch();
    await pass(3000);
    await route.fulfill({ response });
    answered += response.status() === 200;
  });
  const other = await context.newPage();
  await other.goto(origin);
  await other.route("**/auth/refresh", (route) => route.abort());
  await until("a refresh is under way", () => asked === 1);

  await other.getByRole("button", { name: "Sign out" }).click();

  await page.getByText("Your session ended in another tab.").waitFor();
  assert.equal(answered, 0, "the answer came too early for this test");
  await until("the answer has come", () => answered === 1);
  await always("no token comes back", async () => (await storedToken(page)) === null, 3000);
  await page.getByText("Your session ended in another tab.").waitFor();
}, { env: SHORT, allowed: CUT });

for (const [browsers, hasLocks] of [["", true], [" without a lock", false]]) {
  test(`tabs${browsers} that wake at once beyond a token's life all stay signed in`, async ({ page, context, origin }) => {
    if (!hasLocks) {
      await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined }));
    }
    const email = await signUp(page, origin);
    const before = await storedToken(page);
    const tabs = [page, await context.newPage(), await context.newPage()];
    let isCut = true;
    let asked = 0;
    for (const tab of tabs) {
      await tab.goto(origin);
      await tab.route("**/auth/refresh", async (route) => {
        if (isCut) return route.abort();
        asked += 1;
        // Whoever may ask has asked before the first is answered.
        await until("all have asked", () => asked >= (hasLocks ? 1 : tabs.length));
        await pass(500);
        return route.continue();
      });
    }
    for (const tab of tabs) await tab.getByText(/You stay signed in/).waitFor();
    const refreshes = answersTo(context, "/auth/refresh");
    isCut = false;

    await Promise.all(tabs.map((tab) => tab.evaluate(() => dispatchEvent(new Event("focus")))));

    await until("there is a new token", async () => (await storedToken(page)) !== before);
    for (const tab of tabs) {
      await tab.getByText(/You stay signed in/).waitFor({ state: "detached" });
      await tab.getByRole("heading", { name: `welcome ${email}` }).waitFor();
    }
    await pass(1000);
    assert.deepEqual(refreshes, hasLocks ? [200] : [200, 200, 200]);
  }, { env: { ...SHORT, COUNTERSIGN_TOKEN__ACCESS_TTL: "8s" }, allowed: CUT });
}

test("who is offline beyond a token's life stays signed in, and goes on without a reload", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  const before = await storedToken(page);
  await page.evaluate(() => (window.isStillHere = true));

  await context.setOffline(true);
  await page.getByText(/^You are offline\. You stay signed in/).waitFor();
  await always("still signed in", async () => (await storedToken(page)) === before, 2000);
  await context.setOffline(false);

  await page.getByText(/^You are offline\./).waitFor({ state: "detached" });
  await until("there is a new token", async () => (await storedToken(page)) !== before);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.equal(await page.evaluate(() => window.isStillHere), true);
}, { env: SHORT, allowed: CUT });

test("a refresh that is answered late takes nothing from who signs in meanwhile", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  let asked = 0;
  let answered = 0;
  await page.route("**/auth/refresh", async (route) => {
    asked += 1;
    if (asked > 1) return route.continue();
    const response = await route.fetch();
    await pass(3000);
    await route.fulfill({ response });
    answered += 1;
  });
  await until("a refresh is under way", () => asked === 1);
  await page.getByRole("button", { name: "Sign out" }).click();
  await main(page).getByRole("link", { name: "Sign in" }).click();

  await signIn(page, email);

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  const before = await storedToken(page);
  assert.equal(answered, 1);
  await until("there is a new token", async () => (await storedToken(page)) !== before);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
}, { env: SHORT });

test("an answer that is lost after other failures ends no session", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  const before = await storedToken(page);
  let asked = 0;
  await page.route("**/auth/refresh", async (route) => {
    asked += 1;
    if (asked > 3) return route.continue();
    if (asked === 3) {
      const cookies = await context.cookies();
      assert.equal((await route.fetch()).status(), 200);
      // Playwright took the answer's cookie, which the browser shall never see.
      await context.addCookies(cookies);
    }
    return route.abort();
  });

  await until("there is a new token", async () => (await storedToken(page)) !== before);

  assert.notEqual(await storedToken(page), null);
  assert.equal(asked, 4);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
}, { env: { ...SHORT, COUNTERSIGN_SESSION__REFRESH_GRACE: "3s" }, allowed: CUT });

test("a server that cannot refresh at the moment ends no session", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  const before = await storedToken(page);
  const problem = { type: "urn:countersign:problem:unavailable", title: "x", status: 503, detail: "x", code: "unavailable" };
  await page.route("**/auth/refresh", (route) =>
    route.fulfill({ status: 503, headers: { "Content-Type": "application/problem+json" }, body: JSON.stringify(problem) }),
  );

  await page.getByText("The server cannot be reached. You stay signed in; this page keeps trying.").waitFor();
  assert.equal(await storedToken(page), before);
  await page.unroute("**/auth/refresh");

  await until("there is a new token", async () => (await storedToken(page)) !== before);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.equal(await page.getByText("The server cannot be reached.").count(), 0);
}, { env: SHORT, allowed: FAULTS });

test("a server that asks to be left alone is, whoever is asking", async ({ page, origin }) => {
  await signUp(page, origin);
  const problem = { type: "urn:countersign:problem:unavailable", title: "x", status: 503, detail: "x", code: "unavailable", retry_after: 30 };
  let asked = 0;
  await page.route("**/auth/refresh", (route) => {
    asked += 1;
    return route.fulfill({ status: 503, headers: { "Content-Type": "application/problem+json" }, body: JSON.stringify(problem) });
  });
  await page.getByText(/You stay signed in/).waitFor();

  await page.locator("header").getByRole("link", { name: "Sessions" }).click();
  await page.getByText("The server cannot do this at the moment. Try again in 30 seconds.").waitFor();
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await pass(1000);

  assert.equal(asked, 1);
}, { env: SHORT, allowed: FAULTS });

test("a page loaded with an expired token and a good cookie stays signed in", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  const before = await storedToken(page);
  await page.goto("about:blank");
  await pass((TTL_SECONDS + 1) * 1000);
  const places = [];
  page.on("framenavigated", (frame) => places.push(frame.url()));

  await page.goto(`${origin}/index`);

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.notEqual(await storedToken(page), before);
  assert.deepEqual(places, [`${origin}/index`]);
}, { env: SHORT });

test("a refused token is replaced, and the call repeated", async ({ page, context, origin }) => {
  const email = await signUp(page, origin);
  const refreshes = answersTo(context, "/auth/refresh");
  const forged = await page.evaluate(() => {
    const token = localStorage.getItem("jwt");
    const forged = token.slice(0, token.lastIndexOf(".") + 1) + "A".repeat(86);
    localStorage.setItem("jwt", forged);
    return forged;
  });

  await page.reload();

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.notEqual(await storedToken(page), forged);
  assert.deepEqual(refreshes, [200]);
}, { allowed: REFUSED });

test("a page never becomes somebody else's by itself", async ({ page, origin }) => {
  const other = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await signUp(page, origin);

  // Another program on this origin signs in and does not store its token: the cookie is its own now.
  await page.evaluate(
    (credentials) => fetch("/auth", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(credentials) }),
    { email: other, password: PASSWORD, refresh: "cookie" },
  );

  await page.getByText("Your session has expired. Sign in to go on.").waitFor();
  assert.equal(await page.getByText(`welcome ${other}`).count(), 0);
  assert.equal(await storedToken(page), null);
}, { env: SHORT });

test("a wrong clock ends no session and makes no tabs refresh in circles", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  for (const hours of [3, -3]) {
    const { context, complaints } = await newProfile(browser);
    later(() => context.close());
    await context.addInitScript((ahead) => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + ahead;
    }, hours * 3600000);
    const refreshes = answersTo(context, "/auth/refresh");
    const tabs = [await context.newPage(), await context.newPage()];
    await tabs[0].goto(`${origin}/sign-in`);
    await signIn(tabs[0], email);
    await tabs[1].goto(origin);
    for (const tab of tabs) {
      await tab.getByRole("heading", { name: `welcome ${email}` }).waitFor();
      assert.match(await tab.getByRole("timer").innerText(), /Expires in (8[89]\d|900) seconds/, `${hours} h`);
    }

    await pass(3000);

    assert.deepEqual([refreshes, complaints], [[], []], `${hours} h`);
  }
});

test("signing out works with an expired token too", async ({ page, context, origin }) => {
  await signUp(page, origin);
  await page.route("**/auth/refresh", (route) => route.abort());
  await page.getByText(/You stay signed in/).waitFor();
  const logouts = answersTo(context, "/auth/logout");

  await page.getByRole("button", { name: "Sign out" }).click();

  await page.getByText("You are signed out.").waitFor();
  assert.equal(await storedToken(page), null);
  await until("the server has heard of it", () => logouts.length === 1);
  assert.deepEqual(logouts, [204]);
  await until("the cookie is gone", async () => (await context.cookies()).length === 0);
}, { env: SHORT, allowed: CUT });

test("no script can read the refresh token", async ({ page, context, origin }) => {
  await signUp(page, origin);

  const cookies = await context.cookies();

  assert.equal(cookies.length, 1);
  const { name, httpOnly, sameSite, value } = cookies[0];
  assert.deepEqual({ name, httpOnly, sameSite }, { name: "countersign_refresh", httpOnly: true, sameSite: "Strict" });
  assert.equal(await page.evaluate(() => document.cookie), "");
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(value.length > 20 && !stored.includes(value));
});

test("the sessions page asks for a sign-in, and is where that leads back to", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await page.goto(`${origin}/sessions`);
  await page.waitForURL(`${origin}/sign-in?return_to=%2Fsessions`);

  await signIn(page, email);

  await page.getByRole("heading", { name: "Sessions" }).waitFor();
  assert.equal(page.url(), `${origin}/sessions`);
  assert.equal(await page.title(), "Sessions · Countersign");
  await page.getByText("This device").waitFor();
  await page.getByText("You are signed in nowhere else.").waitFor();
  assert.equal(await main(page).getByRole("button").count(), 1, "only to sign out everywhere");
  await page.locator("header").getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  assert.equal(page.url(), `${origin}/`);
});

test("a session ended on the sessions page is over on its device with the next call", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  const other = await newDevice(browser, origin, email, later);
  await page.locator("header").getByRole("link", { name: "Sessions" }).click();
  const row = page.getByRole("listitem").filter({ hasText: "Firefox on Linux" });
  await row.getByText(FIREFOX).waitFor();
  const times = await row.locator("time").evaluateAll((nodes) => nodes.map((node) => [node.dateTime, node.textContent]));
  assert.equal(times.length, 2);
  for (const [machine, human] of times) {
    assert.ok(Math.abs(Date.now() - Date.parse(machine)) < 60000, machine);
    assert.match(human, new RegExp(String(new Date().getFullYear())));
  }

  await row.getByRole("button", { name: "Sign out Firefox on Linux" }).click();

  const status = main(page).getByText("That session has ended.");
  await status.waitFor();
  await row.waitFor({ state: "detached" });
  await until("the news has the focus", () => page.evaluate(() => document.activeElement.textContent === "That session has ended."));
  await other.locator("header").getByRole("link", { name: "Sessions" }).click();
  await other.getByText("Your session was ended. Sign in to go on.").waitFor({ timeout: 1000 });
  assert.equal(other.url(), `${origin}/sign-in?return_to=%2Fsessions`);
  assert.equal(await storedToken(other), null);
});

test("a session that was gone before it was ended has ended", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  const other = await newDevice(browser, origin, email, later);
  await page.goto(`${origin}/sessions`);
  await page.getByRole("button", { name: "Sign out Firefox on Linux" }).waitFor();
  await other.getByRole("button", { name: "Sign out" }).click();
  await other.getByText("You are signed out.").waitFor();

  await page.getByRole("button", { name: "Sign out Firefox on Linux" }).click();

  await page.getByText("That session has ended.").waitFor();
  await page.getByText("You are signed in nowhere else.").waitFor();
}, { allowed: REFUSED });

test("all other sessions are signed out at once, and this one stays", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  const others = [await newDevice(browser, origin, email, later), await newDevice(browser, origin, email, later)];
  await page.goto(`${origin}/sessions`);

  await page.getByRole("button", { name: "Sign out all other sessions" }).click();

  await page.getByText("All other sessions have ended.").waitFor();
  await page.getByText("You are signed in nowhere else.").waitFor();
  for (const other of others) {
    await other.reload();
    await other.getByText("Your session was ended. Sign in to go on.").waitFor();
  }
  await page.goto(origin);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
});

test("signing out everywhere ends this session too", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  const other = await newDevice(browser, origin, email, later);
  const token = await storedToken(page);
  await page.goto(`${origin}/sessions`);

  await page.getByRole("button", { name: "Sign out everywhere" }).click();

  await page.getByText("You are signed out.").waitFor();
  assert.equal(page.url(), `${origin}/`);
  assert.equal(await storedToken(page), null);
  assert.equal((await fetch(`${origin}/protected`, { headers: { Authorization: `Bearer ${token}` } })).status, 401);
  await other.reload();
  await other.getByText("Your session was ended. Sign in to go on.").waitFor();
});

test("a list of sessions that does not come can be asked for again", async ({ page, origin }) => {
  await signUp(page, origin);
  await page.route("**/auth/sessions", (route) => route.abort());
  await page.locator("header").getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("alert").getByText(/The server cannot be reached\./).waitFor();
  await page.unroute("**/auth/sessions");
  await page.route("**/auth/sessions", (route) => pass(500).then(() => route.continue()));

  await page.getByRole("button", { name: "Try again" }).click();

  await until("the status has the focus", async () => (await focused(page)) === "Looking where you are signed in…");
  await page.getByText("This device").waitFor();
}, { allowed: CUT });

test("a list of sessions comes by itself once the server can be reached again", async ({ page, origin }) => {
  await signUp(page, origin);
  let isCut = true;
  await page.route(/\/auth\/(sessions|refresh)$/, (route) => (isCut ? route.abort() : route.continue()));
  await page.locator("header").getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("alert").getByText(/The server cannot be reached\./).waitFor();
  await page.getByText(/You stay signed in/).waitFor();

  isCut = false;

  await page.getByText("This device").waitFor();
  assert.equal(await page.getByText("The server cannot be reached.").count(), 0);
}, { env: SHORT, allowed: CUT });

test("a double click ends one session, and the rows of the others stay", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  for (const _ of [1, 2]) await newDevice(browser, origin, email, later);
  await page.goto(`${origin}/sessions`);
  const buttons = page.getByRole("button", { name: "Sign out Firefox on Linux" });
  await until("both are listed", async () => (await buttons.count()) === 2);
  await buttons.nth(1).evaluate((node) => (node.isStillHere = true));

  await buttons.nth(0).dblclick({ delay: 0 });

  await page.getByText("That session has ended.").waitFor();
  await pass(1000);
  assert.equal(await buttons.count(), 1);
  assert.equal(await buttons.evaluate((node) => node.isStillHere), true);
  // What a double click does whose second half meets the next row.
  await buttons.evaluate((node) => node.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: 2 })));
  await pass(500);
  assert.equal(await buttons.count(), 1);
});

test("a session is ended with the keyboard alone", async ({ browser, page, origin, later }) => {
  const email = await signUp(page, origin);
  await newDevice(browser, origin, email, later);
  await page.goto(origin);
  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  const tabTo = keyboard(page);

  await tabTo("Sessions");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out Firefox on Linux" }).waitFor();
  await tabTo("Sign out Firefox on Linux");
  await page.keyboard.press("Enter");
  await page.getByText("That session has ended.").waitFor();
  await until("the news has the focus", async () => (await focused(page)) === "That session has ended.");
  await tabTo("Sign out everywhere");
  await page.keyboard.press("Space");

  await page.getByText("You are signed out.").waitFor();
});

test("home can be asked for again, and the focus stays on the page", async ({ page, origin }) => {
  const email = await signUp(page, origin);
  let isCut = true;
  await page.route("**/protected", (route) => (isCut ? route.abort() : route.continue()));
  await page.reload();
  await page.getByRole("alert").getByText("The server cannot be reached. Check your connection and try again.").waitFor();
  isCut = false;

  await page.getByRole("button", { name: "Try again" }).click();

  await until("the heading has the focus", async () => (await focused(page)) === `welcome ${email}`);
}, { allowed: CUT });

test("closed registration offers no account and says so", async ({ page, origin }) => {
  await page.goto(`${origin}/sign-in`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await until("no link to create an account", async () => (await page.getByRole("link", { name: "Create account" }).count()) === 0);

  await page.goto(`${origin}/sign-up`);

  await page.getByRole("heading", { name: "Registration is closed here." }).waitFor();
  assert.equal(await page.locator("form").count(), 0);
}, { env: { COUNTERSIGN_REGISTRATION: "closed" } });

test("the form asks for as many characters as the server", async ({ page, origin }) => {
  await page.goto(`${origin}/sign-up`);

  await page.getByText("20 characters or more. A few words work well.").waitFor();
}, { env: { COUNTERSIGN_PASSWORD__MIN_LENGTH: "20" } });

test("a server that is away is said in plain words, and what was typed stays", async ({ page, server, origin }) => {
  const email = newEmail();
  await page.goto(`${origin}/sign-in`);
  await fill(page, email, PASSWORD);
  await stop(server.child);

  await page.locator("form").getByRole("button", { name: "Sign in" }).click();

  await page.getByRole("alert").getByText(/The server cannot be reached\./).waitFor();
  assert.equal(await page.getByLabel("Email").inputValue(), email);
  assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), PASSWORD);
}, { allowed: AWAY });

test("signing out while the server is away clears the token and is honest", async ({ page, server, origin }) => {
  await signUp(page, origin);
  await stop(server.child);

  await page.getByRole("button", { name: "Sign out" }).click();

  await page.getByText(/the server could not be told/).waitFor();
  assert.equal(await storedToken(page), null);
}, { allowed: AWAY });

test("too many attempts say how long to wait", async ({ page, origin }) => {
  await page.route("**/auth", (route) =>
    route.fulfill({
      status: 429,
      headers: { "Content-Type": "application/problem+json", "Retry-After": "40" },
      body: JSON.stringify({ type: "urn:countersign:problem:rate_limited", title: "Too many attempts", status: 429, detail: "x", code: "rate_limited", retry_after: 40 }),
    }),
  );
  await page.goto(`${origin}/sign-in`);
  await signIn(page, newEmail());

  await page.getByText("Too many attempts. Try again in 40 seconds.").waitFor();
}, { allowed: REFUSED });

test("blocked storage keeps the session until the reload, and says so", async ({ page, context, origin }) => {
  await context.addInitScript(() => {
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("blocked", "SecurityError");
      },
    });
  });

  await signUp(page, origin);

  await page.getByText(/does not allow this site to store anything/).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: /Sign-in that you can follow/ }).waitFor();
});

test("every page loads by its own address, with its title and one heading", async ({ page, origin }) => {
  for (const [path, status, title] of [
    ["/", 200, "Sign-in that you can follow, step by step. · Countersign"],
    ["/index", 200, "Sign-in that you can follow, step by step. · Countersign"],
    ["/sign-in", 200, "Sign in · Countersign"],
    ["/sign-up", 200, "Create account · Countersign"],
    ["/no-such-page", 404, "There is no such page. · Countersign"],
  ]) {
    assert.equal((await page.goto(origin + path)).status(), status, path);
    await page.waitForFunction((title) => document.title === title, title);
    assert.equal((await page.reload()).status(), status, path);
    await page.waitForFunction((title) => document.title === title, title);
    assert.equal(await page.locator("h1").count(), 1, path);
  }
}, { allowed: REFUSED });

test("no page causes a complaint of the browser", async ({ page, origin }) => {
  for (const path of PAGES.slice(0, 4)) {
    await page.goto(origin + path, { waitUntil: "networkidle" });
    await page.locator("main h1").waitFor();
  }
  await signUp(page, origin);
  await page.waitForLoadState("networkidle");
  await page.goto(`${origin}/sessions`, { waitUntil: "networkidle" });
  await page.getByText("This device").waitFor();
});

test("a navigation moves the focus to the heading", async ({ page, origin }) => {
  await page.goto(origin);
  await page.locator("header").getByRole("link", { name: "Sign in" }).click();

  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await until("the heading has the focus", () => page.evaluate(() => document.activeElement.tagName === "H1"));
});

const focused = (page) => page.evaluate(() => {
  const node = document.activeElement;
  return node.getAttribute("aria-label") ?? (node.id || node.textContent.trim());
});
const keyboard = (page) => async (wanted) => {
  for (let i = 0; i < 12; i += 1) {
    await page.keyboard.press("Tab");
    if ((await focused(page)) === wanted) return;
  }
  throw new Error(`no way to ${wanted}`);
};

test("an account is created with the keyboard alone", async ({ page, origin }) => {
  await page.goto(origin);
  await page.locator("main h1").waitFor();
  const tabTo = keyboard(page);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "content");
  await tabTo("Create account");
  await page.keyboard.press("Enter");
  await page.getByLabel("Email").waitFor();
  const email = newEmail();
  await tabTo("email");
  await page.keyboard.type(email);
  await tabTo("password");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
});

test("a WebAssembly that does not come is said in plain words", async ({ page, origin }) => {
  await page.route("**/*.wasm", (route) => route.abort());
  await page.goto(origin);

  await page.getByRole("alert").getByText(/could not be loaded/).waitFor();
  await page.getByRole("link", { name: "Reload the page" }).waitFor();
}, { allowed: [/./] });

test("a browser without WebAssembly is told so", async ({ page, context, origin }) => {
  await context.addInitScript(() => delete globalThis.WebAssembly);
  await page.goto(origin);

  await page.getByRole("alert").getByText(/need WebAssembly/).waitFor();
}, { allowed: [/./] });

test("a browser without JavaScript is told so", async ({ browser, origin, later }) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  later(() => context.close());
  const page = await context.newPage();
  await page.goto(origin);

  await page.getByText(/JavaScript is switched off/).waitFor();
});

// What axe finds wrong with a page.
async function faultsOf(page) {
  // By the debugger and not by a script element, which the pages' policy refuses.
  await page.evaluate(await readFile(join(here, "node_modules/axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
}

const looks = [
  ["light", { colorScheme: "light", viewport: { width: 1180, height: 820 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1180, height: 820 } }],
  ["phone", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
  ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
];
for (const [look, options] of looks) {
  test(`no page has an accessibility fault or overflows (${look})`, async ({ browser, origin, later }) => {
    const shots = process.env.COUNTERSIGN_SCREENSHOTS ?? (await mkdtemp(join(tmpdir(), "countersign-shots-")));
    await mkdir(shots, { recursive: true });
    if (!process.env.COUNTERSIGN_SCREENSHOTS) later(() => rm(shots, { recursive: true, force: true }));
    const { context } = await newProfile(browser, { ...options, deviceScaleFactor: 2, reducedMotion: "reduce" });
    later(() => context.close());
    const page = await context.newPage();
    const inspect = async (name) => {
      await page.locator("main h1").waitFor();
      assert.deepEqual(await faultsOf(page), [], name);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= options.viewport.width, `${name} is ${width} wide`);
      await page.screenshot({ path: join(shots, `${name}-${look}.png`) });
    };
    for (const [path, name] of [["/", "welcome"], ["/sign-in", "sign-in"], ["/sign-up", "sign-up"], ["/no-such-page", "not-found"]]) {
      await page.goto(origin + path, { waitUntil: "networkidle" });
      await inspect(name);
    }
    await page.goto(`${origin}/sign-up`);
    await fill(page, "ada", "short");
    await page.locator("form").getByRole("button", { name: "Create account" }).click();
    await page.getByText("2 fields need attention.").waitFor();
    await inspect("sign-up-errors");
    await signUp(page, origin, "ada@example.com");
    await page.getByRole("timer").waitFor();
    await inspect("home");
    await fetch(`${origin}/auth`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "User-Agent": FIREFOX },
      body: JSON.stringify({ email: "ada@example.com", password: PASSWORD }),
    });
    await page.goto(`${origin}/sessions`);
    await page.getByRole("button", { name: "Sign out Firefox on Linux" }).waitFor();
    await inspect("sessions");
    await page.getByRole("button", { name: "Sign out Firefox on Linux" }).click();
    await page.getByText("You are signed in nowhere else.").waitFor();
    await inspect("sessions-alone");
  }, { limit: 120000 });
}

for (const [look, options] of looks) {
  test(`the API's page is accessible and fits: ${look}`, async ({ browser, origin, later, complaints }) => {
    const { context, complaints: own } = await newProfile(browser, options);
    later(() => context.close());
    const page = await context.newPage();

    await page.goto(`${origin}/docs`, { waitUntil: "networkidle" });

    assert.deepEqual(await faultsOf(page), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= options.viewport.width, `it is ${width} wide`);
    complaints.push(...own);
  });
}

test("the API's page leads to each operation and to the codes of its problems", async ({ page, origin }) => {
  await page.goto(`${origin}/docs`);
  const operation = page.getByRole("article").filter({ has: page.getByRole("heading", { name: "POST /auth/refresh", exact: true }) });

  await page.getByRole("navigation", { name: "Contents" }).getByRole("link", { name: "POST /auth/refresh", exact: true }).click();
  assert.equal(new URL(page.url()).hash, "#post-auth-refresh");
  await until("it is in view", () => operation.evaluate((node) => Math.abs(node.getBoundingClientRect().top) < 100));
  await operation.getByRole("link", { name: "refresh_token_reused" }).click();

  const row = page.getByRole("row", { name: "refresh_token_reused 401 Refresh token used twice" });
  await until("the code is in view", () => row.evaluate((node) => Math.abs(node.getBoundingClientRect().top) < 100));
});

test("a page of trunk serve signs in through its proxy", async ({ page, server, later }) => {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "countersign-trunk-"));
  // The project's own file, with the server of this test and paths that hold from another folder.
  const text = (await readFile(join(root, "Trunk.toml"), "utf8"))
    .replaceAll("http://127.0.0.1:3000", server.origin)
    .replace('"frontend/index.html"', JSON.stringify(join(root, "frontend/index.html")))
    .replace('"frontend/dist"', JSON.stringify(join(folder, "dist")))
    .replace(/^watch = .*$/m, `watch = [${JSON.stringify(join(root, "frontend/src"))}]`)
    .replace(/^ignore = .*$/m, "ignore = []");
  await writeFile(join(folder, "Trunk.toml"), text);
  const trunk = spawn(process.env.TRUNK || "trunk", ["--config", join(folder, "Trunk.toml"), "serve", "--port", String(port)], {
    cwd: root,
    env: { TRUNK_SKIP_VERSION_CHECK: "true", TRUNK_BUILD_OFFLINE: "true", ...process.env, TRUNK_BUILD_DIST: join(folder, "dist"), NO_COLOR: "true" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  trunk.stdout.on("data", (chunk) => (log += chunk));
  trunk.stderr.on("data", (chunk) => (log += chunk));
  later(() => rm(folder, { recursive: true, force: true }));
  later(() => stop(trunk));
  const origin = `http://127.0.0.1:${port}`;
  await until("trunk serves", async () => {
    if (trunk.exitCode !== null) throw new Error(`trunk ended:\n${log}`);
    return fetch(origin, { headers: { Accept: "text/html" } }).then((answer) => answer.ok, () => false);
  }, 280000);

  const email = await signUp(page, origin);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out.").waitFor();
  await page.goto(`${origin}/sign-in`);
  await signIn(page, email);

  await page.getByRole("heading", { name: `welcome ${email}` }).waitFor();
  assert.equal(await page.evaluate(() => fetch("/auth/refresh", { method: "POST" }).then((answer) => answer.status)), 200);
}, { limit: 300000, allowed: REFUSED });

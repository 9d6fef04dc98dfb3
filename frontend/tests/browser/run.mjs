// Runs the tests, one after the other, each with a server and a profile of its own. An argument
// selects those whose names contain it. The last line is the count that xtask reads.
import { tests as notes } from "./notes.mjs";
import { launch, newProfile, startServer } from "./support.mjs";
import { tests as pages } from "./tests.mjs";

const LIMIT_MS = 60000;
const wanted = process.argv[2] ?? "";
const browser = await launch();
let passed = 0;
const failures = [];

for (const { name, body, env, start = startServer, limit = LIMIT_MS, allowed = [] } of [...pages, ...notes]) {
  if (!name.includes(wanted)) continue;
  const began = Date.now();
  const cleanups = [];
  let timer;
  let page;
  try {
    const server = await start(env);
    cleanups.push(server.close);
    const { context, complaints } = await newProfile(browser);
    cleanups.push(() => context.close());
    page = await context.newPage();
    const tooLong = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done within ${limit} ms`)), limit);
    });
    const t = { browser, server, origin: server.origin, context, complaints, page, later: (end) => cleanups.push(end) };
    await Promise.race([body(t), tooLong]);
    const unexpected = complaints.filter((text) => !allowed.some((pattern) => pattern.test(text)));
    if (unexpected.length > 0) throw new Error(`the browser complained:\n${unexpected.join("\n")}`);
    passed += 1;
    console.log(`ok      ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failures.push(name);
    console.log(`FAILED  ${name}\n${error.stack}`);
    const text = await page?.locator("body").innerText({ timeout: 1000 }).catch(() => "");
    if (text) console.log(`The page says:\n${text}\n`);
  } finally {
    clearTimeout(timer);
    for (const cleanup of cleanups.reverse()) {
      await cleanup().catch((error) => console.log(`cleaning up after ${name}: ${error.message}`));
    }
  }
}
await browser.close();
for (const name of failures) console.log(`FAILED  ${name}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length === 0 && passed > 0 ? 0 : 1);

// Opens the page and uses it, as an operator does. Says on standard output how far it is, and goes
// on when it is told to on standard input: node page.mjs URL SCREENSHOT
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import readline from "node:readline";

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)("playwright-core");
const [url, screenshot] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = async (word) => { console.log(word); await lines.next(); };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 880, height: 690 } });
  page.setDefaultTimeout(60_000);
  const broken = [];
  page.on("pageerror", (error) => broken.push(String(error)));
  page.on("console", (message) => message.type() === "error" && broken.push(message.text()));
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));

  await page.goto(url);
  await page.getByText("Nothing runs. Start a call").waitFor();
  await page.getByText(`client --url ${new URL(url).origin}/mcp`).waitFor();
  await say("empty");

  const running = (call) => page.locator(`#running li[data-call="${call}"]`);
  const ended = (call) => page.locator(`#ended li[data-call="${call}"]`);
  const stop = (call) => page.getByRole("button", { name: `Stop call ${call},` });
  for (const call of [3, 4, 5]) {
    await running(call).getByText(/[1-9]\d* of \d+ steps/).waitFor();
    const bar = running(call).getByRole("progressbar");
    assert.ok(Number(await bar.getAttribute("aria-valuenow")) > 0);
  }
  assert.match(await page.title(), /^\(3\) /);
  for (const call of [1, 2]) await ended(call).waitFor();
  await stop(4).click();
  await page.locator('li.cancelled[data-call="4"]').getByText("cause: operator").waitFor();
  await page.screenshot({ path: screenshot });
  for (const call of [3, 5]) await ended(call).getByText("✓ finished").waitFor();
  await ended(4).getByText("■ cancelled").waitFor();
  await ended(2).getByText("reason: the user pressed stop").waitFor();
  await page.getByText("Nothing runs. Start a call").waitFor();
  await say("stopped");

  // A client's text stays text. And the keyboard will do.
  await running(6).getByText('request "<img src=x onerror=document.title=1>"').waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  await stop(6).focus();
  await page.keyboard.press("Enter");
  await ended(6).getByText("cause: operator").waitFor();

  // A phone, at night.
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 360, height: 640 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} pixels wide on a phone of 360`);
  await page.screenshot({ path: screenshot.replace(".png", "-phone.png") });
  assert.deepEqual(broken, []);
  await say("typed");

  await page.getByText("no connection to the server").waitFor();
  const elsewhere = asked.filter((one) => new URL(one).origin !== new URL(url).origin && !one.startsWith("data:"));
  assert.deepEqual(elsewhere, [], "the page needs no network");
} finally {
  await browser.close();
  process.stdin.destroy();
}

// Uses the MCP Inspector's page as docs/src/inspector.md says. Says on standard output how far it
// is, and goes on when it is told to on standard input: node inspector.mjs URL SCREENSHOT
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import readline from "node:readline";

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)("playwright-core");
const [url, screenshot] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = async (word) => { console.log(word); return (await lines.next()).value; };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1050 } });
  page.setDefaultTimeout(60_000);
  // Its fonts come from elsewhere. It does without them.
  const { host } = new URL(url);
  await page.route((to) => to.host !== host, (route) => route.abort());
  const button = (name) => page.getByRole("button", { name });
  const shown = (text) => page.getByText(text, { exact: true });

  console.log("a browser");
  await page.goto(url);
  // The switch does nothing before the page has read its settings. It does not say when it has.
  do {
    await page.getByRole("switch", { name: "Connect or disconnect" }).press("Space");
    await shown("Disconnected").waitFor({ state: "hidden", timeout: 5_000 }).catch(() => {});
  } while (await shown("Disconnected").isVisible());
  await shown("Tools").click();
  await page.getByRole("heading", { name: "Tools (2)" }).waitFor();
  console.log("connected");

  // Each tool has its title in the list, and no warning there or on its own page.
  const portability = page.locator('[aria-label^="Schema portability"], [data-testid="schema-findings"]');
  for (const [title, hints] of [["List the calls", 2], ["Process a large file", 2]]) {
    await button(title).click();
    await button("Execute Tool").waitFor();
    assert.equal(await shown("read-only").or(shown("idempotent")).count(), hints, title);
    assert.equal(await portability.count(), 0, title);
  }
  // The form is filled in.
  const steps = page.getByLabel("processing_time");
  assert.equal(await page.getByLabel("filename").first().inputValue(), "large_dataset.csv");
  assert.equal(await steps.inputValue(), "10");
  // More steps: the call must not end before it is cancelled.
  await steps.fill("600");
  await button("Execute Tool").click();
  await shown("Tool progress").waitFor();
  await shown("notifications/progress").nth(2).waitFor();
  await say("at work");

  await button("Cancel").click();
  await shown("Tool call cancelled").waitFor();
  await page.screenshot({ path: screenshot });
  const state = await say("cancelled");

  // The server has been asked. What does the Protocol pane say of it?
  const [cancels, pending, failed] = await Promise.all(
    ["notifications/cancelled", "Pending", "Error"].map((text) => shown(text).count()),
  );

  // The server's own word, read in the Inspector. This call is also the fence: what came before it
  // would be in the pane by now.
  await button("List the calls").click();
  await button("Execute Tool").click();
  await page.getByText(new RegExp(`"state":\\s*"${state}"`)).first().waitFor();
  assert.equal(await shown("notifications/cancelled").count(), cancels);
  await say(JSON.stringify({ cancels, pending, failed }));
} finally {
  await browser.close();
  process.stdin.destroy();
}

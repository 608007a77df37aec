// A headless Chromium, driven over its own pipe (Chrome DevTools Protocol): no package of npm is needed.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE = 20_000;
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
];

export class Browser {
  #process; #folder; #session; #id = 0; #waiting = new Map(); #rest = "";
  /** What the page logged or threw, and what it asked for. */
  complaints = [];
  requests = [];

  /** Starts the browser with one empty page. */
  static async start(program = process.env.CHROMIUM ?? "chromium") {
    const browser = new Browser();
    browser.#folder = mkdtempSync(join(tmpdir(), "wirelink-page-"));
    browser.#process = spawn(program, [...FLAGS, `--user-data-dir=${browser.#folder}`], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    browser.#process.stdio[4].setEncoding("utf8").on("data", (data) => browser.#hear(data));
    const { targetId } = await browser.call("Target.createTarget", { url: "about:blank" });
    ({ sessionId: browser.#session } = await browser.call("Target.attachToTarget", { targetId, flatten: true }));
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.call(`${domain}.enable`);
    await browser.call("Emulation.setScrollbarsHidden", { hidden: true });
    return browser;
  }

  #hear(data) {
    const parts = (this.#rest + data).split("\0");
    this.#rest = parts.pop();
    for (const message of parts.map((part) => JSON.parse(part))) {
      if (message.id) this.#waiting.get(message.id)?.(message);
      else this.#note(message);
    }
  }

  #note({ method, params }) {
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Log.entryAdded") this.complaints.push(`${params.entry.level}: ${params.entry.text} ${params.entry.url ?? ""}`);
    if (method === "Runtime.consoleAPICalled") this.complaints.push(`console.${params.type}: ${params.args.map((arg) => arg.value).join(" ")}`);
    if (method === "Runtime.exceptionThrown") this.complaints.push(`thrown: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
  }

  /** Calls a method of the protocol. */
  call(method, params = {}) {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method}: no answer`)), PATIENCE);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(late);
        this.#waiting.delete(id);
        if (error) reject(new Error(`${method}: ${error.message}`)); else resolve(result);
      });
      this.#process.stdio[3].write(JSON.stringify({ id, method, params, sessionId: this.#session }) + "\0");
    });
  }

  /** Returns what a function returns in the page. */
  async in(fn, ...args) {
    const expression = `(${fn})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until a function in the page returns something true, and returns that. */
  async until(fn, ...args) {
    for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
      const value = await this.in(fn, ...args);
      if (value) return value;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`never: ${fn} of ${JSON.stringify(args)}; the page says: ${await this.in(() => document.body.innerText.slice(0, 600))}`);
  }

  /** Looks with a screen of this width, and these wishes of its user. */
  async look({ width = 1180, height = 900, dark = false, still = false, scale = 1 } = {}) {
    const features = [["prefers-color-scheme", dark ? "dark" : "light"], ["prefers-reduced-motion", still ? "reduce" : "no-preference"]];
    await this.call("Emulation.setEmulatedMedia", { features: features.map(([name, value]) => ({ name, value })) });
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: false });
  }

  /** Presses a key. */
  async press(key) {
    const codes = { Enter: 13, Tab: 9, Escape: 27, ArrowRight: 39, ArrowLeft: 37, End: 35, Home: 36 };
    const event = { key, code: key, windowsVirtualKeyCode: codes[key], text: key === "Enter" ? "\r" : undefined };
    await this.call("Input.dispatchKeyEvent", { type: event.text ? "keyDown" : "rawKeyDown", ...event });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Returns a picture of the whole page, or of what is seen. */
  async picture({ whole = true } = {}) {
    const { data } = await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
    return Buffer.from(data, "base64");
  }

  async end() {
    const ended = new Promise((done) => this.#process.once("exit", done));
    this.#process.kill("SIGKILL");
    await ended;
    // Its helpers end a moment after it.
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

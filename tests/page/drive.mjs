// Looks at the page as an operator would. It says on its output what there should be to look at, a line each, and is told on its input
// when that is so. PICTURES names a folder for pictures.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Browser } from "./browser.mjs";

const address = process.argv[2], folder = process.env.PICTURES;
const done = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await Browser.start();

async function wish(text) {
  process.stdout.write(`${text}\n`);
  const { value } = await done.next();
  assert.equal(value, "done", text);
}

async function picture(name, options) {
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await new Promise((settled) => setTimeout(settled, 800));
  writeFileSync(join(folder, `${name}.png`), await browser.picture(options));
}

const rows = () => document.querySelectorAll("#peers tbody tr").length;
const isLive = () => document.getElementById("live")?.dataset.state === "on";
const showsRows = (count) => document.querySelectorAll("#peers tbody tr").length === count;
const fits = () => document.documentElement.scrollWidth <= document.documentElement.clientWidth;

/** Peers in the table and in the graph, with what is read out. */
async function everyPeerIsThere() {
  await wish("show 12 0");
  await browser.look();
  await browser.call("Page.navigate", { url: address });
  await browser.until(isLive);
  await browser.until(showsRows, 12);
  const seen = await browser.in(() => ({
    title: document.title,
    names: [...document.querySelectorAll("#peers tbody th button")].map((button) => button.textContent),
    labels: [...document.querySelectorAll("#graph .peer")].map((peer) => [peer.getAttribute("role"), peer.getAttribute("aria-label")]),
    edges: ["direct", "via", "down"].map((path) => {
      const lines = [...document.querySelectorAll(`#graph .edge.${path}`)];
      const style = lines.length ? getComputedStyle(lines[0]) : {};
      return [lines.length, style.stroke, style.strokeDasharray];
    }),
    images: document.images.length,
    tabs: document.querySelectorAll("#graph [tabindex='0']").length,
  }));
  assert.equal(seen.title, "wirelink wg0");
  assert.equal(seen.labels.length, 12);
  assert.ok(seen.labels.every(([role]) => role === "button"));
  const labels = seen.labels.map(([, label]) => label).sort();
  assert.ok(labels.includes("hub-fra, router, direct, 0.8 ms"), labels.join("\n"));
  assert.ok(labels.includes("bob-phone, via hub-fra, both NATs give each destination a port of its own"), labels.join("\n"));
  assert.ok(seen.names.includes("<img src=x onerror=alert(1)>"), "a name is text");
  assert.equal(seen.images, 0);
  assert.deepEqual(seen.edges.map(([count]) => count), [7, 4, 1]);
  assert.equal(new Set(seen.edges.map(([, colour]) => colour)).size, 3, "told apart by colour");
  assert.equal(new Set(seen.edges.map(([, , dash]) => dash)).size, 3, "and by dash");
  assert.equal(seen.tabs, 1, "the graph is one stop of the Tab key");
}

async function trafficMakesLinesThick() {
  const thickest = () => Math.max(...[...document.querySelectorAll("#graph .edge")].map((edge) => Number(edge.getAttribute("stroke-width"))));
  const before = await browser.in(thickest);
  for (const step of [1, 2]) {
    await wish(`show 12 ${step}`);
    await browser.until((step) => document.querySelector("#node").textContent.includes("1 d 2 h") && view.status.node.up_seconds === 93784 + 2 * step, step);
  }
  assert.ok((await browser.in(thickest)) > before + 3);
  const traffic = await browser.in(() => document.querySelector("#peers tbody td[data-label=Traffic]").textContent);
  assert.match(traffic, /\u2193 [\d.]+ k?M?B\/s/);
  const losses = () => [...document.querySelectorAll("#peers td[data-label='Round trip'] small")].map((small) => small.textContent);
  assert.deepEqual([...new Set(await browser.in(losses))].sort(), ["", "1 % in, 0 % out lost"], "those that are measured");
}

async function happeningsAreListed() {
  await browser.until(() => document.querySelectorAll("#events li").length === 3);
  await wish("happen link-lost");
  await browser.until(() => document.querySelector("#events li").textContent.includes("link-lost happened"));
  assert.equal(await browser.in(() => document.querySelectorAll("#events .warn").length), 1);
  const last = await browser.in(() => {
    for (let i = 0; i < 500; i += 1) happened({ at_ms: 1e12 + i, level: "info", code: "resynced", peer: null, from: null, text: `number ${i}` });
    return { listed: document.querySelectorAll("#events li").length, kept: view.events.size, newest: view.events.has(`${1e12 + 499} number 499`) };
  });
  assert.deepEqual(last, { listed: 100, kept: 100, newest: true }, "a page that is open for weeks keeps no more than it shows");
}

/** Details by keyboard, from the graph and from the table; the focus comes back. */
async function keysAreEnough() {
  const focused = () => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent;
  await browser.in(() => document.querySelector("#graph [tabindex='0']").focus());
  const first = await browser.in(focused);
  await browser.press("ArrowRight");
  const second = await browser.in(focused);
  assert.notEqual(first, second);
  const ring = await browser.in(() => getComputedStyle(document.activeElement.querySelector(".ring")).stroke);
  assert.notEqual(ring, "none", "the focus is seen");
  await browser.press("Enter");
  const title = await browser.until(() => document.getElementById("details").open && document.getElementById("details-title").textContent);
  assert.ok(second.startsWith(title), `${second}: ${title}`);
  await picture("details", { whole: false });
  await browser.press("Escape");
  await browser.until(() => !document.getElementById("details").open);
  assert.equal(await browser.in(focused), second);
  await browser.in(() => document.querySelector("#peers tbody button").focus());
  await browser.press("Enter");
  await browser.until(() => document.getElementById("details").open);
  assert.match(await browser.in(() => document.getElementById("explain").textContent), /^wirelink explain .{43}=$/);
  await browser.press("Escape");
}

async function peersAreFound() {
  await browser.in(() => document.querySelector("#counts .via").click());
  await browser.until(showsRows, 4);
  assert.equal(await browser.in(() => document.querySelectorAll("#graph .peer.off").length), 8);
  await browser.in(() => document.querySelector("#counts .all").click());
  const find = (text) => {
    document.getElementById("find").value = text;
    document.getElementById("find").dispatchEvent(new Event("input"));
  };
  await browser.in(find, "LAPTOP");
  assert.equal(await browser.in(rows), 1);
  await browser.in(find, "nobody");
  assert.equal(await browser.in(() => document.getElementById("none").textContent), "No peer is like that.");
  await browser.in(find, "");
  assert.equal(await browser.in(rows), 12);
}

/** Every text against what is behind it: 4.5 to 1 (WCAG 2.2, 1.4.3); every line of the graph 3 to 1 (1.4.11). */
async function isReadable(options) {
  await browser.look({ ...options, still: true });
  const poor = await browser.in(() => {
    const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        if (colour[3] !== 0) return colour;
      }
      return parse(getComputedStyle(document.documentElement).backgroundColor);
    };
    const ratio = (one, other) => {
      const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    const found = [];
    const texts = [...document.querySelectorAll("body *:not(script):not(dialog *)")].filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    for (const element of texts) {
      const style = getComputedStyle(element), isSvg = element instanceof SVGElement;
      const contrast = ratio(parse(isSvg ? style.fill : style.color), behind(element));
      if (contrast < 4.5) found.push(`${element.textContent}: ${contrast.toFixed(2)}`);
    }
    for (const edge of document.querySelectorAll("#graph .edge")) {
      const contrast = ratio(parse(getComputedStyle(edge).stroke), behind(edge.closest("section")));
      if (contrast < 3) found.push(`${edge.getAttribute("class")}: ${contrast.toFixed(2)}`);
    }
    return [texts.length > 40, found];
  });
  assert.deepEqual(poor, [true, []]);
}

async function nothingMovesForWhoWantsThat() {
  await browser.look({ still: true });
  const moves = await browser.in(() => [getComputedStyle(document.getElementById("live"), "::before").animationName, getComputedStyle(document.querySelector(".edge")).transitionDuration]);
  assert.equal(moves[0], "none");
}

/** One peer, many, a phone: all of it is there, and nothing is cut off at the side. */
async function layoutHolds() {
  for (const [count, step] of [[0, 6], [1, 7], [40, 8], [200, 9]]) {
    await wish(`show ${count} ${step}`);
    for (const width of [1180, 360]) {
      await browser.look({ width, still: true });
      await browser.until(showsRows, count);
      await browser.until((width) => graph.width > 0 && graph.width < width, width);
      assert.ok(await browser.in(fits), `${count} peers at ${width}`);
      await picture(`peers-${count}-width-${width}`, { whole: count !== 200 });
      const [outside, near] = await browser.in(() => {
        const view = document.getElementById("graph").getBoundingClientRect();
        const dots = [...document.querySelectorAll("#graph .peer .dot")].map((dot) => dot.getBoundingClientRect());
        const outside = dots.filter((dot) => dot.left < view.left || dot.right > view.right || dot.top < view.top || dot.bottom > view.bottom);
        const crosses = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
        return [outside.length, dots.reduce((sum, a, i) => sum + dots.slice(i + 1).filter((b) => crosses(a, b)).length, 0)];
      });
      assert.deepEqual([outside, near], [0, 0], `dots outside, and one on another: ${count} peers at ${width}`);
    }
  }
}

async function itSaysWhenNobodyAnswers() {
  await wish("show 12 10");
  await browser.until(showsRows, 12);
  await browser.look();
  await wish("go");
  const text = await browser.until(() => document.getElementById("live").dataset.state === "away" && document.getElementById("live").textContent);
  assert.match(text, /^wirelink does not answer since \d\d:\d\d:\d\d, trying again$/);
  assert.equal(await browser.in(rows), 12, "what was known last stays there");
  await picture("away", { whole: false });
  const complaints = browser.complaints.length;
  await wish("show 12 11");
  await browser.until(isLive);
  assert.ok(await browser.in(() => !document.body.classList.contains("away")));
  // That nobody answered is what the browser itself logs.
  browser.complaints = browser.complaints.slice(complaints).concat(browser.complaints.slice(0, complaints).filter((text) => !text.includes("ERR_")));
}

try {
  await everyPeerIsThere();
  await trafficMakesLinesThick();
  await happeningsAreListed();
  await keysAreEnough();
  await peersAreFound();
  await isReadable({ dark: false });
  await wish("show 12 5");
  await browser.until(() => view.status.node.up_seconds === 93794);
  await picture("light");
  await picture("readme", { whole: false });
  await isReadable({ dark: true });
  await picture("dark");
  await nothingMovesForWhoWantsThat();
  await browser.look({ width: 390 });
  await picture("phone");
  await layoutHolds();
  await itSaysWhenNobodyAnswers();
  assert.deepEqual(browser.complaints.filter((text) => !text.includes("ERR_")), [], "the console is empty");
  const outside = browser.requests.filter((url) => !url.startsWith(address) && !url.startsWith("data:image/svg+xml,") && url !== "about:blank");
  assert.deepEqual(outside, [], "nobody else is asked");
} finally {
  await browser.end();
  process.stdin.destroy();
}

"use strict";
// Words and elements. Names come from other machines: they are only ever set as text.

const $ = (id) => document.getElementById(id);

/** Makes an element with attributes and what is in it: elements and text. */
function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

function makeSvg(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Sets a text where it is another: what is read or selected stays as it is. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function put(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** What a peer is called: its name, or the beginning of its key. */
const called = (peer) => peer.name ?? peer.key.slice(0, 8);

function lasting(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 24) return `${hours} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let power = 0;
  while (count >= 999.5 && power < units.length - 1) { count /= 1000; power += 1; }
  return `${power === 0 || count >= 99.5 ? Math.round(count) : count.toFixed(1)} ${units[power]}`;
}

const trip = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);

const tripOf = (peer) => peer.quality?.round_trip_ms ?? null;

/** How many packets are lost in either direction, as far as it is measured; short where none is. */
function losses(peer) {
  const { loss_in: down = null, loss_out: up = null } = peer.quality ?? {};
  if (down === null && up === null) return "";
  if (!down && !up) return "no loss";
  const share = (loss) => (loss === null ? "?" : loss > 0 && loss < 0.01 ? "<1 %" : `${Math.round(loss * 100)} %`);
  return `${share(down)} in, ${share(up)} out lost`;
}

function pathOf(peer) {
  return peer.path === "via" ? `via ${peer.via ?? "a router"}` : peer.path;
}

/** The whole of a peer in a sentence, for those who do not see the graph. */
function sentence(peer) {
  const ms = tripOf(peer);
  const parts = [called(peer), pathOf(peer)];
  if (peer.router) parts.splice(1, 0, "router");
  if (peer.path !== "direct") parts.push(peer.reason_text);
  if (ms !== null) parts.push(trip(ms));
  return parts.filter(Boolean).join(", ");
}

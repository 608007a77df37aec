// The page around the graph: what is shown of the node, the table, the events; and where it comes from.

const view = { status: null, seen: null, rates: new Map(), path: null, rows: new Map(), opened: null, events: new Set(), heard: 0, source: null };
const PATHS = ["direct", "via", "down"];
/** So many events are kept, and so long may the daemon be silent, in milliseconds. */
const MAX_EVENTS = 100, PATIENCE = 7000;

const isShown = (peer) => view.path === null || peer.path === view.path;

/** Takes in how the node is now. */
function take(status) {
  const now = performance.now(), before = view.seen;
  view.seen = { at: now, bytes: new Map(status.peers.map((peer) => [peer.key, [peer.received_bytes, peer.sent_bytes]])) };
  view.rates = new Map(status.peers.map((peer) => [peer.key, before ? rate(peer, before, now) : [0, 0]]));
  view.status = status;
  show();
}

function rate(peer, before, now) {
  const old = before.bytes.get(peer.key) ?? [peer.received_bytes, peer.sent_bytes];
  const seconds = Math.max(0.2, (now - before.at) / 1000);
  // A peer that was made again counts from the beginning.
  return [peer.received_bytes - old[0], peer.sent_bytes - old[1]].map((count) => Math.max(0, count) / seconds);
}

function show() {
  const { node, peers } = view.status;
  document.title = `wirelink ${node.interface}`;
  say($("iface"), node.interface);
  list($("node"), [
    ["role", node.role], ["NAT", node.nat], ["key", node.key], ["up for", lasting(node.up_seconds)], ["by", node.program], ["device", node.backend],
  ]);
  const notes = [...node.overrides];
  if (node.no_probes) notes.push(`no probes from here: ${node.no_probes}`);
  if (node.debug) notes.push("details are logged");
  $("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
  counts(peers);
  table(peers);
  draw(view.status, new Map([...view.rates].map(([key, [down, up]]) => [key, down + up])));
  details();
}

/** Shows pairs in a list of descriptions; elements stay where they are. */
function list(dl, pairs) {
  pairs.forEach(([term, value], i) => {
    const pair = dl.children[i] ?? dl.appendChild(make("div", {}, make("dt"), make("dd")));
    say(pair.children[0], term);
    say(pair.children[1], value);
    pair.children[1].classList.toggle("key", term === "key");
  });
  while (dl.children.length > pairs.length) dl.lastChild.remove();
}

function counts(peers) {
  const group = $("counts");
  [null, ...PATHS].forEach((path, i) => {
    let button = group.children[i];
    if (!button) {
      button = group.appendChild(make("button", { type: "button", class: path ?? "all" }, make("b"), { null: "all", via: "via a router" }[path] ?? path));
      button.addEventListener("click", () => { view.path = path; show(); });
    }
    put(button, "aria-pressed", view.path === path);
    say(button.firstChild, String(peers.filter((peer) => path === null || peer.path === path).length));
  });
}

function table(peers) {
  const words = $("find").value.trim().toLowerCase(), body = $("peers").tBodies[0];
  const has = (peer) => [peer.name, peer.key, peer.endpoint, peer.via, peer.reason, ...peer.allowed_ips].some((text) => text?.toLowerCase().includes(words));
  const shown = peers.filter((peer) => isShown(peer) && has(peer)), keys = new Set(shown.map((peer) => peer.key));
  for (const [key, row] of view.rows) if (!keys.has(key)) { row.remove(); view.rows.delete(key); }
  shown.forEach((peer, i) => {
    const row = view.rows.get(peer.key) ?? addRow(peer.key);
    fill(row, peer);
    // What is in its place is not moved, as that would take the focus from it.
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null);
  });
  $("peers").hidden = shown.length === 0;
  say($("none"), shown.length === 0 && peers.length > 0 ? "No peer is like that." : "");
}

function addRow(key) {
  const button = make("button", { type: "button", "aria-haspopup": "dialog" });
  const head = make("th", { scope: "row" }, button, make("span", { class: "tag" }));
  const path = make("td", { "data-label": "Path" }, make("span", { class: "path" }, make("span"), make("span")), make("small"));
  const cells = ["Round trip", "Traffic", "Handshake", "Endpoint"].map((label) => make("td", { "data-label": label }, make("span"), make("small")));
  const row = make("tr", {}, head, path, ...cells);
  button.addEventListener("click", () => inspect(key));
  for (const [kind, near] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) {
    row.addEventListener(kind, () => graph.parts.get(key)?.group.classList.toggle("near", near));
  }
  view.rows.set(key, row);
  return row;
}

function fill(row, peer) {
  const [head, path, ...cells] = row.cells, [down, up] = view.rates.get(peer.key), ms = tripOf(peer);
  say(head.firstChild, called(peer));
  say(head.lastChild, peer.router ? "router" : "");
  head.lastChild.hidden = !peer.router;
  put(path.firstChild, "class", `path ${peer.path}`);
  put(path.firstChild.firstChild, "class", `mark ${peer.path}`);
  say(path.firstChild.lastChild, pathOf(peer));
  say(path.lastChild, peer.path === "direct" ? `for ${lasting(peer.since_seconds)}` : peer.reason_text);
  const values = [
    [ms === null ? "" : trip(ms), losses(peer)],
    [`\u2193 ${bytes(down)}/s  \u2191 ${bytes(up)}/s`, `${bytes(peer.received_bytes)} in, ${bytes(peer.sent_bytes)} out`],
    [peer.handshake_seconds === null ? "never" : `${lasting(peer.handshake_seconds)} ago`, ""],
    [peer.endpoint ?? "", ""],
  ];
  values.forEach(([text, more], i) => {
    say(cells[i].firstChild, text);
    say(cells[i].lastChild, more);
    cells[i].toggleAttribute("data-empty", text === "");
  });
}

/** Shows all that is known of a peer. */
function inspect(key) {
  view.opened = key;
  details();
  if (!$("details").open) $("details").showModal();
}

function details() {
  const peer = view.status?.peers.find((peer) => peer.key === view.opened);
  if (!peer) return $("details").open && $("details").close();
  const [down, up] = view.rates.get(peer.key), ms = tripOf(peer);
  say($("details-title"), called(peer));
  say($("why"), `${pathOf(peer)}: ${peer.reason_text}`);
  list($("facts"), [
    ["key", peer.key],
    ["link", `${peer.link} for ${lasting(peer.since_seconds)}`],
    ["reason", peer.reason],
    ["round trip", ms === null ? "not measured" : trip(ms)],
    ["losses", losses(peer) || "not measured"],
    ["endpoint", peer.endpoint ?? "none"],
    ["allowed IPs", peer.allowed_ips.join(", ") || "none"],
    ["handshake", peer.handshake_seconds === null ? "never" : `${lasting(peer.handshake_seconds)} ago`],
    ["received", `${bytes(peer.received_bytes)}, ${bytes(down)}/s now`],
    ["sent", `${bytes(peer.sent_bytes)}, ${bytes(up)}/s now`],
    ["trust", peer.trust ?? "unknown"],
    ["role", peer.router ? "router" : "peer"],
    ["on the interface", peer.introduced ? "because other nodes named it" : "because you put it there"],
  ]);
  say($("explain"), `wirelink explain ${peer.key}`);
}

function happened(event) {
  const id = `${event.at_ms} ${event.text}`;
  if (view.events.has(id)) return;
  view.events.add(id);
  // In the order in which they came: the first is the oldest.
  if (view.events.size > MAX_EVENTS) view.events.delete(view.events.values().next().value);
  const at = new Date(event.at_ms), ol = $("events");
  const time = make("time", { datetime: at.toISOString() }, at.toLocaleTimeString([], { hour12: false }));
  ol.prepend(make("li", event.level === "warn" ? { class: "warn" } : {}, time, make("span", {}, event.text)));
  while (ol.children.length > MAX_EVENTS) ol.lastChild.remove();
  $("quiet").hidden = true;
}

/** Says whether what is shown is how it is. */
function live(state, text) {
  put($("live"), "data-state", state);
  say($("live"), text);
  document.body.classList.toggle("away", state === "away");
}

function away() {
  if ($("live").dataset.state === "away") return;
  live("away", view.status ? `wirelink does not answer since ${new Date().toLocaleTimeString([], { hour12: false })}, trying again` : "wirelink does not answer, trying again");
}

function listen() {
  view.source?.close();
  view.heard = performance.now();
  const source = view.source = new EventSource("api/events");
  const hear = (handle) => (message) => {
    view.heard = performance.now();
    live("on", "live");
    handle(JSON.parse(message.data));
  };
  source.addEventListener("status", hear(take));
  source.addEventListener("event", hear(happened));
  source.addEventListener("error", away);
}

// A browser gives up for good after some errors, and does not notice at all where a machine just went.
setInterval(() => {
  if (performance.now() - view.heard < PATIENCE) return;
  away();
  listen();
}, 1000);
$("find").addEventListener("input", () => view.status && table(view.status.peers));
$("close").addEventListener("click", () => $("details").close());
$("details").addEventListener("close", () => { view.opened = null; });
$("details").addEventListener("click", (event) => event.target === $("details") && $("details").close());
new ResizeObserver(([{ contentRect }]) => {
  if (view.status && contentRect.width !== graph.width) show();
  graph.width = contentRect.width;
}).observe($("canvas"));
listen();

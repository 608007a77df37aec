// The graph: this node in the middle, routers around it, other peers around those, near the router that they are behind.

const graph = { parts: new Map(), width: 0, at: null };

/** The room between peers at which names fit beside them. */
const ROOMY = 112;

/** Returns the half axes of the rings, and how far apart peers are on them. */
function rings(count, width, height) {
  const outer = { x: width / 2 - 48, y: height / 2 - 44 };
  for (let room = ROOMY; ; room *= 0.9) {
    const gap = Math.max(16, room * 0.62), found = [];
    let free = count;
    for (let i = 0; free > 0 && outer.y - i * gap > 58 && outer.x - i * gap > 58; i += 1) {
      const [x, y] = [outer.x - i * gap, outer.y - i * gap];
      const around = Math.PI * (3 * (x + y) - Math.sqrt((3 * x + y) * (x + 3 * y)));
      found.push({ x, y, holds: Math.max(1, Math.floor(around / room)) });
      free -= found[found.length - 1].holds;
    }
    // Few are not crowded on one ring where two would look empty.
    if (free <= 0 || room < 9) return { found, room };
  }
}

/** Returns the peers in the order in which they stand around: whoever is behind a router next to it. */
function around(peers) {
  const routers = peers.filter((peer) => peer.router);
  const behind = (router) => peers.filter((peer) => !peer.router && peer.path === "via" && peer.via === called(router));
  const rest = new Set(peers.filter((peer) => !peer.router));
  const groups = routers.map((router) => [router, ...behind(router)]);
  groups.flat().forEach((peer) => rest.delete(peer));
  const others = [...rest];
  // Those who are behind nobody fill the room between the routers evenly.
  const share = Math.ceil(others.length / Math.max(1, groups.length));
  return groups.length ? groups.flatMap((group, i) => [...group, ...others.slice(i * share, (i + 1) * share)]) : others;
}

/** Returns where each peer stands, by its key. */
function places(peers, width, height) {
  const order = around(peers), places = new Map();
  const { found, room } = rings(order.length, width, height);
  const total = found.reduce((sum, ring) => sum + ring.holds, 0);
  // Each ring takes its share, so that none is left nearly empty; neighbours in the order go to neighbouring angles.
  const wanted = found.map((ring) => Math.min(ring.holds, Math.ceil((order.length * ring.holds) / total)));
  const slots = found.flatMap((ring, i) => {
    const turn = (i % 2) * (Math.PI / Math.max(1, wanted[i]));
    return Array.from({ length: wanted[i] }, (_, j) => ({ ring, angle: (j / wanted[i]) * 2 * Math.PI + turn }));
  }).sort((one, other) => one.angle - other.angle);
  while (slots.length < order.length) slots.push({ ring: found.at(-1) ?? { x: 60, y: 60 }, angle: slots.length * 2.4 });
  order.forEach((peer, i) => {
    const slot = slots[Math.floor((i * slots.length) / order.length)];
    const angle = slot.angle - Math.PI / 2;
    places.set(peer.key, { x: width / 2 + slot.ring.x * Math.cos(angle), y: height / 2 + slot.ring.y * Math.sin(angle) });
  });
  return { places, room, order };
}

/** Draws all peers; what is there already is moved and renamed, so that the focus stays. */
function draw(status, rates) {
  const svg = $("graph"), width = Math.max(280, Math.round(svg.clientWidth || 800));
  const count = status.peers.length;
  const height = Math.round(Math.min(620, Math.max(count > 60 ? 480 : 300, width * (count > 24 ? 0.62 : 0.46))));
  const middle = { x: width / 2, y: height / 2 };
  const { places: at, room, order } = places(status.peers, width, height);
  put(svg, "viewBox", `0 0 ${width} ${height}`);
  put(svg, "height", height);
  svg.classList.toggle("dense", room < 70);
  svg.toggleAttribute("hidden", count === 0);
  $("alone").hidden = count !== 0;
  graph.order = order.map((peer) => peer.key);
  const size = Math.max(4.5, Math.min(11, room * 0.3));
  for (const [key, part] of graph.parts) if (!at.has(key)) { part.remove(); graph.parts.delete(key); }
  const routers = new Map(status.peers.filter((peer) => peer.router).map((peer) => [called(peer), at.get(peer.key)]));
  for (const peer of status.peers) {
    const part = graph.parts.get(peer.key) ?? addPart(svg, peer.key);
    part.show(peer, at.get(peer.key), (peer.path === "via" && routers.get(peer.via)) || middle, rates.get(peer.key), size, room >= 70);
  }
  center(svg, middle, size);
  rove(graph.at && at.has(graph.at) ? graph.at : graph.order[0], false);
}

function layer(svg, name) {
  return svg.querySelector(`.${name}`) ?? svg.appendChild(makeSvg("g", { class: name }));
}

function center(svg, middle, size) {
  const group = layer(svg, "self");
  if (!group.firstChild) group.append(makeSvg("circle", { class: "dot" }), makeSvg("text"));
  const [dot, text] = group.children;
  put(dot, "cx", middle.x); put(dot, "cy", middle.y); put(dot, "r", Math.max(9, size + 2));
  put(text, "x", middle.x); put(text, "y", middle.y + Math.max(9, size + 2) + 17);
  say(text, "this node");
}

function addPart(svg, key) {
  const [edges, trips] = ["edges", "trips"].map((name) => layer(svg, name));
  const self = layer(svg, "self"), peers = layer(svg, "nodes");
  if (self.nextSibling !== peers) svg.append(self, peers);
  const edge = edges.appendChild(makeSvg("line"));
  const label = trips.appendChild(makeSvg("text"));
  const group = peers.appendChild(makeSvg("g", { role: "button", tabindex: -1 }));
  const ring = group.appendChild(makeSvg("rect", { class: "ring" })), dot = group.appendChild(makeSvg("rect"));
  const name = group.appendChild(makeSvg("text"));
  group.dataset.key = key;
  const part = {
    group,
    remove: () => [edge, label, group].forEach((element) => element.remove()),
    show: (peer, to, from, rate, size, labelled) => {
      const off = isShown(peer) ? "" : " off", ms = tripOf(peer);
      put(edge, "class", `edge ${peer.path}${off}`);
      // A line that begins under a dot looks as if it ended there.
      put(edge, "x1", from.x); put(edge, "y1", from.y); put(edge, "x2", to.x); put(edge, "y2", to.y);
      put(edge, "stroke-width", thickness(rate, labelled).toFixed(1));
      put(label, "class", `trip${off}`);
      put(label, "x", from.x + (to.x - from.x) * 0.55); put(label, "y", from.y + (to.y - from.y) * 0.55 + 4);
      say(label, labelled && ms !== null ? trip(ms) : "");
      put(group, "class", `peer ${peer.path}${peer.router ? " router" : ""}${off}${group.classList.contains("near") ? " near" : ""}`);
      put(group, "aria-label", sentence(peer));
      box(ring, to, size + 5, peer.router ? 7 : size + 5);
      box(dot, to, size, peer.router ? 4 : size);
      put(dot, "class", "dot");
      const below = to.y + size + 17;
      put(name, "x", to.x); put(name, "y", below);
      const text = called(peer);
      say(name, text.length > 16 ? `${text.slice(0, 15)}\u2026` : text);
    },
  };
  group.addEventListener("click", () => inspect(key));
  group.addEventListener("focus", () => rove(key, false));
  graph.parts.set(key, part);
  return part;
}

function box(rect, at, half, corner) {
  put(rect, "x", at.x - half); put(rect, "y", at.y - half);
  put(rect, "width", 2 * half); put(rect, "height", 2 * half); put(rect, "rx", corner);
}

/** From a hair to a band: twice as thick is some thirty times the traffic. */
function thickness(rate, labelled) {
  const most = labelled ? 9 : 5;
  return Math.min(most, (labelled ? 2 : 1.2) + Math.log10(1 + rate / 500) * 1.7);
}

/** Has one peer of the graph in the order of the Tab key: the arrow keys go on from there. */
function rove(key, focus) {
  graph.at = key;
  for (const [other, part] of graph.parts) put(part.group, "tabindex", other === key ? 0 : -1);
  if (focus) graph.parts.get(key)?.group.focus();
}

$("graph").addEventListener("keydown", (event) => {
  const here = graph.order.indexOf(event.target.dataset?.key), last = graph.order.length - 1;
  if (here < 0) return;
  const to = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: last }[event.key];
  if (event.key === "Enter" || event.key === " ") inspect(graph.order[here]);
  else if (to !== undefined) rove(graph.order[(to + last + 1) % (last + 1)], true);
  else return;
  event.preventDefault();
});

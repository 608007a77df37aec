// The graph: this node in the middle, routers around it, other peers around those, near the router that they are behind.

const graph = { parts: new Map(), width: 0, at: null };

/** The room between peers at which names stand beside them without touching, and the least at which they are shown. */
const ROOMY = 112, NAMED = 62;

/** Returns the rings around the middle that have room for so many, and how much room a peer has there. */
function rings(count, width, height) {
  const outer = { x: width / 2 - Math.min(70, width * 0.13), y: height / 2 - 44 };
  for (let room = ROOMY; ; room *= 0.95) {
    const gap = Math.max(12, room * (room < NAMED ? 0.9 : 0.62)), inmost = room < NAMED ? 42 : 84, found = [];
    let free = count;
    for (let i = 0; free > 0 && (i === 0 || Math.min(outer.x, outer.y) - i * gap > inmost); i += 1) {
      const ring = ellipse(outer.x - i * gap, outer.y - i * gap);
      found.push({ ...ring, holds: Math.max(1, Math.floor(ring.around / room)) });
      free -= found[found.length - 1].holds;
    }
    if (free <= 0 || room < 5) return { found, room };
  }
}

/** Returns an ellipse: how long it is, and where on it a part of that length ends, clockwise from the top. */
function ellipse(x, y) {
  const steps = 240, lengths = [0];
  const at = (i) => [x * Math.sin((i / steps) * 2 * Math.PI), -y * Math.cos((i / steps) * 2 * Math.PI)];
  for (let i = 1; i <= steps; i += 1) {
    const [one, other] = [at(i - 1), at(i)];
    lengths.push(lengths[i - 1] + Math.hypot(other[0] - one[0], other[1] - one[1]));
  }
  const around = lengths[steps];
  const end = (part) => {
    const wanted = (part % 1) * around, i = Math.max(1, lengths.findIndex((length) => length >= wanted));
    return at(i - 1 + (wanted - lengths[i - 1]) / (lengths[i] - lengths[i - 1]));
  };
  return { around, end };
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
  const slots = found.flatMap((ring, i) => Array.from({ length: wanted[i] }, (_, j) => {
    const [x, y] = ring.end((j + (i % 2) / 2) / wanted[i]);
    return { x: width / 2 + x, y: height / 2 + y, angle: (Math.atan2(x, -y) + 2 * Math.PI) % (2 * Math.PI) };
  })).sort((one, other) => one.angle - other.angle);
  order.forEach((peer, i) => places.set(peer.key, slots[Math.floor((i * slots.length) / order.length)]));
  return { places, room, order };
}

/** Few need no room, and many on a phone stand one above the other. */
function tall(count, width) {
  if (count < 4) return 270;
  return Math.round(Math.min(620, Math.max(count > 60 ? 560 : 380, width * (count > 24 ? 0.56 : 0.46))));
}

/** Draws all peers; what is there already is moved and renamed, so that the focus stays. */
function draw(status, rates) {
  const svg = $("graph"), width = Math.max(280, Math.round(svg.clientWidth || 800));
  const count = status.peers.length;
  const height = tall(count, width);
  const middle = { x: width / 2, y: height / 2 };
  const { places: at, room, order } = places(status.peers, width, height);
  put(svg, "viewBox", `0 0 ${width} ${height}`);
  put(svg, "height", height);
  svg.classList.toggle("dense", room < NAMED);
  svg.toggleAttribute("hidden", count === 0);
  $("alone").hidden = count !== 0;
  graph.order = order.map((peer) => peer.key);
  const size = Math.max(2.5, Math.min(11, room * (room < NAMED ? 0.33 : 0.3)));
  for (const [key, part] of graph.parts) if (!at.has(key)) { part.remove(); graph.parts.delete(key); }
  const routers = new Map(status.peers.filter((peer) => peer.router).map((peer) => [called(peer), at.get(peer.key)]));
  for (const peer of status.peers) {
    const part = graph.parts.get(peer.key) ?? addPart(svg, peer.key);
    const from = (peer.path === "via" && routers.get(peer.via)) || middle;
    part.show(peer, from, at.get(peer.key), { size, rate: rates.get(peer.key), named: room >= NAMED, letters: width < 480 ? 12 : 16 });
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
  const plate = trips.appendChild(makeSvg("rect", { class: "plate", height: 17, rx: 4 })), label = trips.appendChild(makeSvg("text"));
  const group = peers.appendChild(makeSvg("g", { role: "button", tabindex: -1 }));
  const ring = group.appendChild(makeSvg("rect", { class: "ring" })), dot = group.appendChild(makeSvg("rect"));
  const name = group.appendChild(makeSvg("text"));
  group.dataset.key = key;
  const part = {
    group,
    remove: () => [edge, plate, label, group].forEach((element) => element.remove()),
    show: (peer, from, to, { size, rate, named, letters }) => {
      const off = isShown(peer) ? "" : " off", ms = tripOf(peer);
      put(edge, "class", `edge ${peer.path}${off}`);
      put(edge, "x1", from.x); put(edge, "y1", from.y); put(edge, "x2", to.x); put(edge, "y2", to.y);
      put(edge, "stroke-width", thickness(rate, named).toFixed(1));
      put(label, "class", `trip${off}`);
      const text = named && ms !== null ? trip(ms) : "", wide = text && text.length * 7 + 4;
      const half = { x: from.x + (to.x - from.x) * 0.55, y: from.y + (to.y - from.y) * 0.55 };
      put(label, "x", half.x); put(label, "y", half.y + 4);
      say(label, text);
      put(plate, "x", half.x - wide / 2); put(plate, "y", half.y - 8.5); put(plate, "width", wide || 0);
      put(group, "class", `peer ${peer.path}${peer.router ? " router" : ""}${off}${group.classList.contains("near") ? " near" : ""}`);
      put(group, "aria-label", sentence(peer));
      box(ring, to, size + 5, peer.router ? 7 : size + 5);
      box(dot, to, size, peer.router ? 4 : size);
      put(dot, "class", "dot");
      // On the side that is turned away from the lines.
      put(name, "x", to.x); put(name, "y", to.y + (to.y < from.y ? -size - 9 : size + 17));
      const word = called(peer);
      say(name, word.length > letters ? `${word.slice(0, letters - 1)}\u2026` : word);
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
function thickness(rate, named) {
  const most = named ? 9 : 5;
  return Math.min(most, (named ? 2 : 1.2) + Math.log10(1 + rate / 500) * 1.7);
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

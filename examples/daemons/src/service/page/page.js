"use strict";

// A page of its own for a peer is /peer/IDENTITY.
const only = location.pathname.startsWith("/peer/")
  ? decodeURIComponent(location.pathname.slice("/peer/".length))
  : null;
const badness = { down: 2, unproven: 1, up: 0 };
const by = (id) => document.getElementById(id);
const peers = new Map(); // identity -> { data, node, rank, words, filled }
const visible = new Set();
let skew = 0; // seconds that the daemon's clock is ahead of ours
let began = 0;

const now = () => Date.now() / 1000 + skew;

function ago(seconds) {
  if (seconds < 0) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function octets(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
}

// The last eight probes, the latest on the right.
function dots(octal) {
  const bits = parseInt(octal, 8);
  let text = "";
  for (let bit = 7; bit >= 0; bit -= 1) text += (bits >> bit) & 1 ? "●" : "○";
  return text;
}

// DES, 3DES, MD5 and Diffie-Hellman groups below 14, in the words of the settings.
const old = /^(?:des|3des|md5|modp768|modp1024|modp1536)$/;

// A proposal, its old algorithms marked.
function setAlgorithms(node, text) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren();
  text.split("-").forEach((word, index) => {
    if (index > 0) node.append("-");
    if (!old.test(word)) return node.append(word);
    const mark = document.createElement("strong");
    mark.className = "legacy";
    mark.textContent = word;
    mark.title = "kept only for old peers";
    return node.append(mark);
  });
}

// Worst first: pairs down, then pairs without proof, then old algorithms, then by name.
function rank(peer) {
  const count = (state) => peer.pairs.filter((pair) => pair.state === state).length;
  return [count("down"), count("unproven"), peer.legacy ? 1 : 0];
}

function before(one, other) {
  for (let i = 0; i < one.rank.length; i += 1) {
    if (one.rank[i] !== other.rank[i]) return other.rank[i] - one.rank[i];
  }
  return one.data.identity.localeCompare(other.data.identity, undefined, { numeric: true });
}

function worst(peer) {
  return peer.pairs.reduce(
    (state, pair) => (badness[pair.state] > badness[state] ? pair.state : state), "up");
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function fillPair(node, pair) {
  const part = (name) => node.querySelector(`.${name}`);
  set(part("state"), pair.state);
  part("state").dataset.state = pair.state;
  set(part("name"), pair.name);
  set(part("subnets"), `${pair.local} ↔ ${pair.remote}`);
  set(part("proof"), pair.proof === null ? "no proof" : `proved ${ago(now() - pair.proof)} ago`);
  const answered = dots(pair.reach);
  set(part("reach"), answered);
  part("reach").setAttribute("role", "img");
  part("reach").setAttribute("aria-label",
    `${answered.split("●").length - 1} of the last eight probes answered`);
  set(part("rtt"), pair.rtt_ms === null ? "" : `${pair.rtt_ms.toFixed(1)} ms`);
  set(part("bytes"), `${octets(pair.bytes_in)} in, ${octets(pair.bytes_out)} out`);
  setAlgorithms(part("esp"), pair.esp ?? "");
  set(part("failure"), pair.state !== "up" && pair.last_failure ? pair.last_failure : "");
}

function fill(peer) {
  const { data, node } = peer;
  const facts = [];
  if (data.address) facts.push(data.nat ? `${data.address}, behind NAT` : data.address);
  facts.push(`IKE ${data.ike}`);
  set(node.querySelector(".about"), facts.join(" · "));
  setAlgorithms(node.querySelector(".ike"), data.ike_proposal ?? "");
  set(node.querySelector(".warning"), data.legacy ? "legacy algorithms" : "");
  set(node.querySelector(".trouble"), data.ike !== "up" && data.last_failure ? data.last_failure : "");
  const list = node.querySelector(".pairs");
  while (list.children.length > data.pairs.length) list.lastElementChild.remove();
  while (list.children.length < data.pairs.length) {
    list.append(by("pair").content.firstElementChild.cloneNode(true));
  }
  data.pairs.forEach((pair, index) => fillPair(list.children[index], pair));
}

// What is far outside of the window is not filled: thousands of branches cost little.
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const peer = peers.get(entry.target.dataset.identity);
    if (!peer) continue;
    if (entry.isIntersecting) {
      visible.add(peer);
      fill(peer);
    } else {
      visible.delete(peer);
    }
  }
}, { rootMargin: "800px" });

function make(data) {
  const node = by("peer").content.firstElementChild.cloneNode(true);
  node.dataset.identity = data.identity;
  const link = node.querySelector(".identity");
  link.textContent = data.identity;
  link.href = `/peer/${encodeURIComponent(data.identity)}`;
  return { data, node, rank: null, words: "" };
}

function take(data) {
  const peer = peers.get(data.identity) ?? make(data);
  peers.set(data.identity, peer);
  peer.data = data;
  peer.node.dataset.state = worst(data);
  peer.words = [data.identity, data.address ?? "",
    ...data.pairs.flatMap((pair) => [pair.name, pair.local, pair.remote])].join(" ").toLowerCase();
  const fresh = rank(data);
  const moved = String(fresh) !== String(peer.rank);
  peer.rank = fresh;
  return { peer, moved };
}

function place(peer) {
  const list = by("peers");
  visible.delete(peer);
  watcher.unobserve(peer.node);
  peer.node.remove();
  let low = 0;
  let high = list.children.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(peers.get(list.children[middle].dataset.identity), peer) < 0) low = middle + 1;
    else high = middle;
  }
  list.insertBefore(peer.node, list.children[low] ?? null);
  watcher.observe(peer.node);
}

function wanted(peer) {
  if (only !== null) return peer.data.identity === only;
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const show = by("show").value;
  const shown = show === "all" || (show === "legacy" ? peer.data.legacy
    : peer.data.pairs.some((pair) => pair.state === show));
  return shown && words.every((word) => peer.words.includes(word));
}

function filter() {
  let found = 0;
  for (const peer of peers.values()) {
    const keep = wanted(peer);
    peer.node.hidden = !keep;
    found += keep ? 1 : 0;
  }
  set(by("found"), only === null ? `${found} of ${peers.size}` : "");
}

function summarise() {
  const count = { up: 0, unproven: 0, down: 0 };
  for (const { data } of peers.values()) for (const pair of data.pairs) count[pair.state] += 1;
  const all = count.up + count.unproven + count.down;
  const parts = [`${count.up} of ${all} pairs up`];
  if (count.unproven) parts.push(`${count.unproven} unproven`);
  if (count.down) parts.push(`${count.down} down`);
  set(by("counts"), parts.join(", "));
  set(by("uptime"), `· running for ${ago(now() - began)}`);
  by("summary").classList.remove("stale");
}

function takeAll(whole) {
  skew = whole.now - Date.now() / 1000;
  began = whole.began;
  const name = whole.role === whole.identity ? whole.role : `${whole.role} ${whole.identity}`;
  set(by("title"), name);
  document.title = only === null ? name : `${only} at ${name}`;
  watcher.disconnect();
  visible.clear();
  peers.clear();
  const sorted = whole.peers.map((data) => take(data).peer).sort(before);
  by("peers").replaceChildren(...sorted.map((peer) => peer.node));
  filter();
  sorted.forEach((peer) => watcher.observe(peer.node));
  summarise();
  if (only !== null) showHistory();
  performance.mark("ready");
  document.body.dataset.ready = "true";
}

function takeChanges(list) {
  for (const data of list) {
    const { peer, moved } = take(data);
    if (moved) place(peer);
    else if (visible.has(peer)) fill(peer);
  }
  filter();
  summarise();
}

const percent = (strip) => {
  const seen = strip.filter((value) => value !== null);
  return seen.length ? seen.reduce((sum, value) => sum + value, 0) / seen.length : null;
};

function showStrip(pair, seconds) {
  const item = document.createElement("li");
  const share = percent(pair.strip);
  const text = share === null ? "not seen yet" : `up ${share.toFixed(1)} % of the time seen`;
  const caption = document.createElement("p");
  caption.textContent = `${pair.name}: ${text}`;
  const strip = document.createElement("div");
  strip.className = "strip";
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", `${pair.name}: ${text}`);
  pair.strip.forEach((value, index) => {
    const box = document.createElement("i");
    if (value !== null) box.className = value === 100 ? "all" : value === 0 ? "none" : "part";
    const back = (pair.strip.length - index) * seconds;
    box.title = value === null ? `${ago(back)} ago: not seen` : `${ago(back)} ago: up ${value} %`;
    strip.append(box);
  });
  item.append(caption, strip);
  return item;
}

const said = (event) => event.replaceAll("_", " ").replace(/^sa /, "SA ").replace(/^peer /, "IKE ");

function showOutcome(fact) {
  const item = document.createElement("li");
  const pair = fact.pair ? `${fact.pair.name}: ` : "";
  const detail = fact.detail ? `, ${fact.detail}` : "";
  const time = document.createElement("time");
  const at = new Date(fact.at * 1000);
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleString();
  item.append(time, ` ${pair}${said(fact.event)}${detail}`);
  if (fact.event === "negotiation_failed") item.className = "failed";
  return item;
}

async function showHistory() {
  const answer = await fetch(`/history/${encodeURIComponent(only)}`);
  by("history").hidden = !answer.ok;
  if (!answer.ok) return;
  const page = await answer.json();
  // In the order in which the settings have them.
  const order = (peers.get(only)?.data.pairs ?? []).map((pair) => pair.name);
  page.pairs.sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
  by("strips").replaceChildren(...page.pairs.map((pair) => showStrip(pair, page.box_seconds)));
  by("outcomes").replaceChildren(...page.outcomes.map(showOutcome));
}

function listen() {
  const source = new EventSource("/changes");
  source.addEventListener("all", (event) => takeAll(JSON.parse(event.data)));
  source.addEventListener("changes", (event) => takeChanges(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    set(by("counts"), "The daemon does not answer; what is shown may be old.");
    by("summary").classList.add("stale");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

by("search").addEventListener("input", filter);
by("show").addEventListener("change", filter);
by("controls").addEventListener("submit", (event) => event.preventDefault());
if (only !== null) {
  by("controls").hidden = true;
  by("back").hidden = false;
  setInterval(showHistory, 10000);
}
setInterval(() => {
  visible.forEach(fill);
  if (began) set(by("uptime"), `· running for ${ago(now() - began)}`);
}, 1000);
listen();

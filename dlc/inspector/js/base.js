// The inspector's state, its parts of a page, and the selection that all views follow.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const PARTS = ["forward", "backward", "optimizer"];
const CATEGORIES = ["parameter", "state", "input", "activation", "workspace", "output", "constant", "free"];
const VIEWS = ["source", "graph", "fusion", "memory", "kernels", "timeline"];
const byId = (id) => document.getElementById(id);
let D, E;                    // the data, and the entry that is shown
let chosen = null;           // {kind: place | row | launch, id}
let touched = null;          // {places, launches, rows: Set; alike: what those rows are in other stages} of what is chosen
const painters = [];         // [view, function]: called when the selection changes while it is shown
const builders = [];         // called when the entry changes

// Every text of the data gets into the page through textContent: names never become markup.
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  fill(node, props, (key, value) => node.setAttribute(key, value));
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}
function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  fill(node, props, (key, value) => node.setAttribute(key, value));
  node.append(...children);
  return node;
}
function fill(node, props, set) {
  for (const [key, value] of Object.entries(props)) {
    if (key === "text") node.textContent = value;
    else if (key === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (value !== null && value !== false) set(key, value === true ? "" : value);
  }
}
function size(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return unit === "B" ? `${Math.round(n)} B` : `${n.toFixed(1)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} GiB`;
}
function count(n, unit) {
  for (const prefix of ["", "k", "M", "G"]) {
    if (n < 1000) return `${prefix ? n.toFixed(1) : Math.round(n)} ${prefix}${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)} T${unit}`;
}
const flop = (n) => count(n, "flop");
const micro = (s) => (s >= 1e-3 ? `${(s * 1e3).toFixed(2)} ms` : `${(s * 1e6).toFixed(1)} µs`);
const percent = (x) => `${x >= 0.0995 ? Math.round(x * 100) : (x * 100).toFixed(1)} %`;
const plural = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const sum = (xs, f) => xs.reduce((total, x) => total + f(x), 0);
const shortPath = (path) => path.slice(path.lastIndexOf("/") + 1);
const where = (p) => (p < 0 ? "" : `${shortPath(D.files[D.places[p][0]].path)}:${D.places[p][1]}`);
function wheres(ps) {
  const found = new Map();
  for (const [f, n] of ps.filter((p) => p >= 0).map((p) => D.places[p])) {
    if (!found.has(f)) found.set(f, []);
    found.get(f).push(n);
  }
  return [...found].map(([f, ns]) => `${shortPath(D.files[f].path)}:${ns.join(", ")}`).join("; ");
}
const sourceOf = (p) => (D.files[D.places[p][0]].lines[D.places[p][1] - 1] || "").trim();
const timed = () => E.launches.length > 0 && E.launches.every((l) => l.seconds !== null);
const launchName = (k) => (k < 0 ? "a loop or branch" : `${k + 1} ${E.launches[k].name}`);

// --- selection ------------------------------------------------------------------------------------

function choose(kind, id) {
  const again = chosen && chosen.kind === kind && chosen.id === id;
  chosen = again ? null : { kind, id };
  touched = chosen && reach(chosen);
  history.replaceState(null, "", chosen ? `#${kind}=${id}` : "#");
  repaint();
}
// What is hidden is painted when it is shown.
function repaint() {
  const shown = document.body.dataset.view;
  painters.forEach(([view, paint]) => { if (view === "" || view === shown || (view === "source" && innerWidth > 900)) paint(); });
}
// The same node in another stage: called the same, of the same lines.
const alike = (r) => `${D.rows[r].name} ${D.rows[r].type} ${D.rows[r].places}`;
function launchesWith(test) {
  return E.within.flatMap((rows, k) => ([...rows].some(test) ? [k] : []));
}
// The launches that compute a node: those that have it, or one alike, else those that work for its line in its part.
function launchesOf(id) {
  const row = D.rows[id], key = alike(id);
  const same = E.known.has(id) ? launchesWith((r) => r === id) : launchesWith((r) => alike(r) === key);
  return same.length || row.op === "input" ? same : launchesWith((r) => D.rows[r].part === row.part && D.rows[r].op !== "input" && D.rows[r].places.some((p) => row.places.includes(p)));
}
function reach({ kind, id }) {
  const found = { places: new Set(), launches: new Set(), rows: new Set(), alike: new Set() };
  if (kind === "place") {
    found.places.add(id);
    E.launches.forEach((l, k) => { if (E.of[k].some((r) => (D.rows[r].op !== "input" || D.rows[r].bytes) && D.rows[r].places.includes(id))) found.launches.add(k); });
  } else if (kind === "launch") {
    found.launches.add(id);
    E.launches[id].places.forEach((p) => found.places.add(p));
    [...E.within[id]].filter((r) => D.rows[r].op !== "input").forEach((r) => { found.rows.add(r); found.alike.add(alike(r)); });
  } else {
    found.rows.add(id);
    found.alike.add(alike(id));
    D.rows[id].places.forEach((p) => found.places.add(p));
    launchesOf(id).forEach((k) => found.launches.add(k));
  }
  return found;
}
// A row belongs to a chosen line by its places, to a chosen node by itself or as one alike, to a launch that computes
// it; in stages of which no launch knows the rows, as one alike.
function isTouched(r) {
  if (!touched) return false;
  if (chosen.kind === "place") return D.rows[r].places.includes(chosen.id);
  return touched.rows.has(r) || ((chosen.kind === "row" || !E.known.has(r)) && touched.alike.has(alike(r)));
}
const touchesPlace = (p) => touched !== null && touched.places.has(p);
const touchesLaunch = (k) => touched !== null && touched.launches.has(k);
// Scrolls the box around rows to the first of them, unless one is in sight.
function bring(rows) {
  const box = rows.length ? rows[0].closest(".short, .view, .lines") : null;
  if (!box) return;
  const { top, bottom } = box.getBoundingClientRect();
  const inSight = rows.some((row) => { const at = row.getBoundingClientRect(); return at.bottom > top + 12 && at.top < bottom - 12; });
  if (!inSight) box.scrollTop += rows[0].getBoundingClientRect().top - top - (bottom - top) / 3;
}

function paintChosen() {
  const box = byId("chosen");
  if (!chosen) {
    box.replaceChildren(el("span", { class: "soft", text: "Choose a line, a node, a launch or a value: every view shows what belongs to it." }),
      el("span", { class: "soft wide-only", text: "Keys: digits for views, / to search, arrows to walk, Esc to clear." }));
    return;
  }
  const clear = el("button", { class: "clear", text: "clear (Esc)", on: { click: () => choose(chosen.kind, chosen.id) } });
  box.replaceChildren(...describe(), clear);
}
function describe() {
  const { kind, id } = chosen;
  if (kind === "launch") {
    const l = E.launches[id];
    return [el("b", { text: `launch ${launchName(id)}` }), el("span", { text: `${wheres(l.places)}` }),
      el("span", { class: "soft", text: `${flop(l.flops * l.runs)}, ${size(l.bytes * l.runs)} moved` })];
  }
  if (kind === "row") {
    const r = D.rows[id];
    const ks = [...touched.launches], last = E.stages.findLastIndex((s) => s.functions.some((f) => f[1].includes(id)));
    const became = E.known.has(id) || last === E.stages.length - 1 || r.op === "input" ? "" : `as such until ${E.stages[last].name}; `;
    const made = ks.length ? `in launch ${ks.slice(0, 3).map(launchName).join(", ")}${ks.length > 3 ? ` and ${ks.length - 3} more` : ""}` : "";
    return [el("b", { class: "mono", text: r.name }), el("span", { class: "mono", text: r.type }),
      el("span", { text: `${PARTS[r.part]} of ${wheres(r.places)}` }), el("span", { class: "soft", text: became + made })];
  }
  const mine = E.lines.filter((l) => l.place === id);
  const held = sum(E.peak.filter((s) => s.place === id), (s) => s.bytes);
  const parts = [el("b", { text: where(id) })];
  for (const l of mine) {
    const time = l.seconds === null ? "" : `${micro(l.seconds)}, `;
    parts.push(el("span", { class: `key p${l.part}`, text: `${PARTS[l.part]} ${time}${flop(l.flops)}, ${size(l.bytes)}` }));
  }
  parts.push(el("span", { class: "soft", text: `${size(held)} at the peak, ${plural(touched.launches.size, "launch", "launches")}` }));
  return parts;
}

// --- the page -------------------------------------------------------------------------------------

function show(name) {
  for (const view of VIEWS.slice(1)) byId(view).hidden = view !== name;
  document.body.classList.toggle("other", name !== "source");
  for (const tab of byId("tabs").children) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === name));
    if (tab.dataset.view === name) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  if (name === "source") byId("graph").hidden = false;
  document.body.dataset.view = name;
  repaint();
}
function buildTabs() {
  byId("tabs").onkeydown = walkTabs;
  const names = { source: "Source", graph: "Graph", fusion: "Fusion", memory: "Memory", kernels: "Kernels", timeline: "Timeline" };
  byId("tabs").replaceChildren(...VIEWS.filter((v) => v !== "timeline" || timed()).map((view, at) =>
    el("button", { role: "tab", id: `tab-${view}`, data: { view }, class: view === "source" ? "for-source" : "",
      on: { click: () => show(view) } }, names[view], at ? el("kbd", { text: String(at) }) : null)));
}
function walkTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], all = [...byId("tabs").children].filter((tab) => tab.offsetWidth);
  const next = step && all[all.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
  show(next.dataset.view);
}
function buildTop() {
  const facts = [["arithmetic", flop(sum(E.launches, (l) => l.flops * l.runs))],
    ["moved", size(sum(E.launches, (l) => l.bytes * l.runs))],
    ["launches", sum(E.launches, (l) => l.runs).toLocaleString("en")], ["arena", size(D.arena)]];
  if (timed()) facts.unshift(["step", micro(sum(E.launches, (l) => l.seconds))]);
  const pick = el("select", { "aria-label": "entry", on: { change: (e) => enter(Number(e.target.value)) } },
    ...D.entries.map((e, k) => el("option", { value: k, text: e.name })));
  pick.value = String(D.entries.indexOf(E));
  byId("top").replaceChildren(
    el("h1", {}, D.program, el("small", { text: D.target === D.isa ? D.target : `${D.target} ${D.isa}` })), D.entries.length > 1 ? pick : "",
    el("dl", { class: "facts" }, ...facts.map(([k, v]) => el("div", {}, el("dt", { text: k }), el("dd", { text: v })))));
}
// What a check or a replay has found: a click leads to the line, and to the pass that shows it.
function buildFindings() {
  const box = byId("findings");
  box.hidden = !D.findings.length;
  box.replaceChildren(...D.findings.map((f, k) => el("button", { class: "finding", data: { finding: k }, on: { click: () => lead(f) } },
    el("span", { class: "where", text: f.place < 0 ? "found" : where(f.place) }), el("span", { text: f.text }))));
}
function lead({ place, stage: after }) {
  show(innerWidth > 900 || after ? "graph" : "source");
  const at = E.stages.findIndex((s) => s.name === after);
  if (at >= 0) toStage(at);
  if (place >= 0 && !(chosen && chosen.kind === "place" && chosen.id === place)) choose("place", place);
}
function enter(k) {
  E = D.entries[k];
  const last = new Map(E.stages[E.stages.length - 1].functions.map(([name, rows]) => [name, rows]));
  E.of = E.launches.map((l) => last.get(l.body) || []);
  E.within = E.launches.map((l, at) => new Set(l.nodes.concat(E.of[at])));
  E.known = new Set(E.within.flatMap((rows) => [...rows]));
  chosen = touched = null;
  buildTop();
  buildTabs();
  builders.forEach((build) => build());
  show(document.body.dataset.view && (timed() || document.body.dataset.view !== "timeline") ? document.body.dataset.view : innerWidth > 900 ? "graph" : "source");
}
function tip(event, ...lines) {
  const box = byId("tip");
  if (!lines.length) { box.style.display = "none"; return; }
  box.replaceChildren(...lines.map((text) => el("div", { text })));
  box.style.display = "block";
  box.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)) + "px";
  box.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)) + "px";
}
const hover = (...lines) => ({ pointermove: (e) => tip(e, ...lines), pointerleave: (e) => tip(e) });

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range";
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (chosen) choose(chosen.kind, chosen.id);
  } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const view = VIEWS[Number(event.key)];
    if (Number(event.key) > 0 && view && (view !== "timeline" || timed())) show(view);
    else if (event.key === "/") { event.preventDefault(); show("graph"); byId("search").focus(); }
  }
});

async function unpack() {
  const text = atob(byId("data").textContent.trim());
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  D = JSON.parse(await new Response(stream).text());
  const keys = ["name", "type", "call", "op", "args", "places", "part", "flops", "bytes", "scope"];
  D.rows = D.rows.map((r) => Object.fromEntries(keys.map((k, i) => [k, r[i]])));
  painters.push(["", paintChosen]);
  buildFindings();
  enter(0);
  const asked = /^#(place|row|launch)=(\d+)$/.exec(location.hash);
  if (asked) choose(asked[1], Number(asked[2]));
  document.body.dataset.ready = "yes";
}

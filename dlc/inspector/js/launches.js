// Fusion and kernels: what became one launch, what did not and why, and the code that runs.
"use strict";
const EDGES = 150, MORE = 60; // the costliest, and of what is chosen: what the rest would save is little
const ops = (k) => E.of[k].filter((r) => D.rows[r].op !== "input" && D.rows[r].op !== "constant").map((r) => D.rows[r].op);
const brief = (names) => {
  const counts = new Map();
  names.forEach((n) => counts.set(n, (counts.get(n) || 0) + 1));
  return [...counts].map(([n, c]) => (c > 1 ? `${n} ×${c}` : n)).join(" ");
};
// The part that most of a launch's work is for.
function partOf(k) {
  const work = [0, 0, 0];
  for (const r of E.of[k]) work[D.rows[r].part] += Math.max(D.rows[r].flops / 8, D.rows[r].bytes);
  return work.indexOf(Math.max(...work));
}
function pickable(kind, id, data, ...cells) {
  return el("tr", { class: "pickable", tabindex: 0, data, on: {
    click: () => choose(kind, id),
    keydown: (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(kind, id); } } } }, ...cells);
}
const td = (text, css = "") => el("td", { text, class: css });
function edgeOf(x, at) {
  return pickable("launch", x.reader >= 0 ? x.reader : Math.max(x.maker, 0), { edge: at },
    el("td", {}, el("code", { text: x.value }), el("div", { class: "soft mono", text: x.type })),
    el("td", { class: "ops" }, el("div", { text: launchName(x.maker) }), el("div", { text: `→ ${launchName(x.reader)}` })),
    el("td", { class: "why" }, x.words, el("small", { text: x.row })), td(size(x.saved), "num"), td(wheres(x.places), "wide-only"));
}
const touchesEdge = (x) => (chosen.kind === "place" ? x.places.some(touchesPlace) : touchesLaunch(x.maker) || touchesLaunch(x.reader));
function buildFusion() {
  const rows = E.edges.slice(0, EDGES).map(edgeOf);
  const launches = E.launches.map((l, k) => pickable("launch", k, { launch: k }, td(String(k + 1), "num"),
    el("td", {}, el("span", { class: `key p${partOf(k)}` }), el("b", { text: l.name }), el("div", { class: "ops", text: brief(ops(k)) }),
      l.loop ? el("div", { class: "soft", text: l.loop }) : null),
    td(flop(l.flops * l.runs), "num wide-only"), td(size(l.bytes * l.runs), "num"), td(wheres(l.places.slice(0, 4)), "wide-only")));
  byId("fusion").replaceChildren(
    el("h2", { text: "What became one launch" }),
    el("p", {}, `${plural(E.launches.length, "launch", "launches")}; values inside one stay in registers and cache. `,
      el("button", { class: "link", text: "Why these are not fewer", on: { click: () => byId("stored").scrollIntoView() } })),
    table(["#", "launch and its operators", "flops", "moved", "lines"], launches, [0, 2, 3], "joined"),
    el("h2", { id: "stored", text: "What is stored between launches, and why" }),
    el("p", { text: `${plural(E.edges.length, "time")} one launch stores a value for another, the costliest${E.edges.length > EDGES ? ` ${EDGES}` : ""} first${E.edges.length > EDGES ? `; below them ${MORE} more of what is chosen` : ""}. The last word is the row of docs/fusion.md.` }),
    table(["value", "stored by, read by", "why they are not one", "would save", "line"], rows, [3], "edges"));
  byId("fusion").querySelector(".edges").append(el("tbody", { id: "more-edges" }));
}
const WIDE_ONLY = ["line", "lines", "flops", "chunks", "bytes moved", "share of the step", ""];
function table(names, rows, numbers, css = "") {
  return el("div", { class: "scroll-x" }, el("table", { class: `list ${css}` }, el("thead", {}, el("tr", {}, ...names.map((n, k) =>
    el("th", { text: n, class: `${numbers.includes(k) ? "num" : ""}${WIDE_ONLY.includes(n) ? " wide-only" : ""}` })))),
    el("tbody", {}, ...rows)));
}
function paintList(view) {
  const lit = [];
  for (const row of byId(view).querySelectorAll("tr[data-launch], tr[data-edge]")) {
    const x = row.dataset.edge === undefined ? null : E.edges[Number(row.dataset.edge)];
    const on = touched !== null && (x === null ? touchesLaunch(Number(row.dataset.launch)) : touchesEdge(x));
    row.classList.toggle("on", on);
    row.classList.toggle("dim", touched !== null && !on);
    if (on) lit.push(row);
  }
  bring(lit);
}
// The edges of what is chosen, beyond those that always stand there.
function paintFusion() {
  const rest = touched ? E.edges.map((x, at) => [x, at]).filter(([x, at]) => at >= EDGES && touchesEdge(x)) : [];
  byId("more-edges").replaceChildren(...rest.slice(0, MORE).map(([x, at]) => edgeOf(x, at)));
  paintList("fusion");
}

// --- kernels --------------------------------------------------------------------------------------

function ceilings() {
  const m = D.machine;
  return m && m.flops && m.bytes ? m : null;
}
// The least time a launch can take on this machine: its arithmetic or its bytes at full speed.
function floor(l) {
  const m = ceilings();
  return m ? Math.max(l.flops / m.flops, l.bytes / m.bytes) * l.runs : 0;
}
function buildKernels() {
  const known = timed(), most = Math.max(...E.launches.map((l) => (known ? l.seconds : l.bytes * l.runs)), 1e-12);
  const rows = E.launches.map((l, k) => {
    const share = el("div", { class: `fill p${partOf(k)}` });
    share.style.width = `${Math.max(1, ((known ? l.seconds : l.bytes * l.runs) / most) * 90)}px`;
    const cells = [td(String(k + 1), "num"), el("td", {}, el("b", { text: l.name })), el("td", { class: "wide-only" }, share)];
    if (known) cells.push(td(micro(l.seconds), "num"), td(ceilings() && l.seconds ? percent(floor(l) / l.seconds) : "", "num"));
    cells.push(td(flop(l.flops * l.runs), "num wide-only"), td(size(l.bytes * l.runs), "num"), td(l.chunks.toLocaleString("en"), "num wide-only"));
    return pickable("launch", k, { launch: k }, ...cells);
  });
  const names = ["#", "launch", known ? "share of the step" : "bytes moved", ...(known ? ["time", "of ceiling"] : []), "flops", "moved", "chunks"];
  const list = table(names, rows, known ? [0, 3, 4, 5, 6, 7] : [0, 3, 4, 5]);
  byId("kernels").replaceChildren(
    el("h2", { text: known ? "Time against this machine's ceilings" : "Arithmetic for each byte" }), roofline(),
    el("h2", { text: "Launches" }), list, el("div", { id: "code" }));
  list.classList.add("short");
  paintKernel();
}
function roofline() {
  const W = innerWidth < 600 ? 400 : 760, H = 300, L = 72, R = 16, T = 18, B = 40, m = ceilings(), known = timed() && m;
  const points = E.launches.map((l, k) => ({ k, l, x: Math.max(l.flops, 1) / Math.max(l.bytes, 1), y: known ? (l.flops * l.runs) / Math.max(l.seconds, 1e-9) : l.bytes * l.runs }))
    .filter((p) => p.l.flops > 0 && p.y > 0);
  if (!points.length) return el("p", { class: "empty", text: "No launch does arithmetic." });
  const ends = (vs) => [Math.floor(Math.log10(Math.min(...vs))), Math.ceil(Math.log10(Math.max(...vs)) + 1e-9)];
  const [x0, x1] = ends(points.map((p) => p.x).concat(known ? [m.flops / m.bytes] : []));
  const [y0, y1] = ends(points.map((p) => p.y).concat(known ? [m.flops] : []));
  const px = (v) => L + ((Math.log10(v) - x0) / Math.max(x1 - x0, 1)) * (W - L - R);
  const py = (v) => H - B - ((Math.log10(v) - y0) / Math.max(y1 - y0, 1)) * (H - B - T);
  const parts = [];
  for (let e = y0; e <= y1; e += 1) parts.push(svg("line", { class: "grid", x1: L, x2: W - R, y1: py(10 ** e), y2: py(10 ** e) }),
    svg("text", { class: "tick", x: L - 7, y: py(10 ** e) + 4, "text-anchor": "end", text: count(10 ** e, known ? "flop/s" : "B").replace(".0", "") }));
  for (let e = x0; e <= x1; e += 1) parts.push(svg("text", { class: "tick", x: px(10 ** e), y: H - B + 18, "text-anchor": "middle", text: String(10 ** e >= 0.001 ? Number((10 ** e).toPrecision(1)) : `1e${e}`) }));
  parts.push(svg("text", { class: "tick", x: (L + W - R) / 2, y: H - 4, "text-anchor": "middle", text: "flops for each byte that is moved" }));
  if (known) {
    const ridge = m.flops / m.bytes, low = 10 ** x0;
    parts.push(svg("path", { class: "roof", d: `M${px(low)} ${py(Math.max(low * m.bytes, 10 ** y0))}L${px(ridge)} ${py(m.flops)}L${W - R} ${py(m.flops)}` }),
      svg("text", { class: "tick", x: W - R, y: py(m.flops) - 5, "text-anchor": "end", text: `${count(m.flops, "flop/s")}, ${size(m.bytes)}/s measured here` }));
  }
  for (const p of points) {
    const told = known ? [micro(p.l.seconds), `${percent(floor(p.l) / p.l.seconds)} of the ceiling`] : [`${flop(p.l.flops * p.l.runs)}`];
    parts.push(svg("circle", { class: `dotk p${partOf(p.k)}`, cx: px(p.x), cy: py(p.y), r: 6, "data-launch": p.k,
      on: { click: () => choose("launch", p.k), ...hover(`${launchName(p.k)}`, ...told, `${size(p.l.bytes * p.l.runs)} moved`) } }));
  }
  const what = known ? "each launch under the ceilings" : "each launch, by the bytes it moves; dlc inspect --profile measures time";
  return el("figure", { class: "card" }, el("figcaption", {}, what, el("span", { class: "legend" }, ...PARTS.map((p, k) => el("span", { class: `key p${k}`, text: p })))),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": what }, ...parts));
}
function paintKernel() {
  const box = byId("code");
  if (!box) return;
  for (const dot of byId("kernels").querySelectorAll("circle")) {
    const on = touchesLaunch(Number(dot.dataset.launch));
    dot.classList.toggle("on", on);
    dot.classList.toggle("dim", touched !== null && !on);
  }
  const ks = touched ? [...touched.launches].slice(0, 3) : [];
  if (!ks.length) { box.replaceChildren(el("p", { class: "soft", text: "Choose a launch or a line to read its kernels." })); return; }
  const cards = ks.map((k) => {
    const l = E.launches[k];
    const facts = `${flop(l.flops)}, ${size(l.bytes)} moved${l.runs > 1 ? `, ${l.runs} times a step` : ""}, ${plural(l.chunks, "chunk")}, ${plural(l.barriers, "barrier")}` +
      (l.seconds === null ? "" : `, ${micro(l.seconds)}`);
    return el("div", {}, el("h2", { text: `launch ${launchName(k)}` }), el("p", { class: "soft", text: `${facts}; ${wheres(l.places)}` }),
      ...l.kernels.flatMap((n) => kernelOf(D.kernels[n])));
  });
  const more = touched.launches.size > ks.length ? [el("p", { class: "soft", text: `and ${touched.launches.size - ks.length} more: choose one above` })] : [];
  box.replaceChildren(...cards, ...more);
}
function kernelOf(kernel) {
  const parts = [el("pre", { class: "card text-kernel", tabindex: 0 }, el("code", { text: kernel.text }))];
  if (kernel.tiles.length) parts.push(el("p", { class: "soft", text: `calls the tiles ${kernel.tiles.join(", ")}, which dlc writes as LLVM IR` }));
  if (kernel.told) parts.push(el("p", { class: "soft", text: kernel.told }));
  const codes = [[D.target === "cuda" ? "PTX" : "assembly", kernel.assembly], ["SASS, the machine code", kernel.sass]].filter(([, text]) => text);
  if (codes.length) parts.push(el("div", { class: "codes" }, ...codes.map(([name, text]) => el("details", {},
    el("summary", { text: `${name}, ${plural(text.split("\n").length, "line")}` }), el("pre", { class: "text-kernel", tabindex: 0 }, el("code", { text }))))));
  return parts;
}
builders.push(buildFusion, buildKernels);
painters.push(["fusion", paintFusion], ["kernels", () => paintList("kernels")], ["kernels", paintKernel]);

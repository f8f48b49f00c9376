// Memory: the arena over the launches of a step, and who holds its peak.
"use strict";
const NAMES = { parameter: "parameters", state: "optimizer and other state", input: "batch", activation: "activations",
  workspace: "workspace", output: "outputs", constant: "constants", free: "free or for other entries" };
function buildMemory() {
  const n = Math.max(E.launches.length, 1), W = innerWidth < 600 ? 380 : 760, H = 360, L = 74, R = 10, T = 10, B = 34;
  const px = (k) => L + (k / n) * (W - L - R), py = (o) => H - B - (o / D.arena) * (H - B - T);
  const parts = [];
  for (let k = 0; k <= 4; k += 1) {
    const o = (D.arena * k) / 4;
    parts.push(svg("line", { class: "grid", x1: L, x2: W - R, y1: py(o), y2: py(o) }),
      svg("text", { class: "tick", x: L - 7, y: py(o) + 4, "text-anchor": "end", text: size(o) }));
  }
  const taken = takenOver();
  E.buffers.forEach((b, k) => {
    const always = b.category === "parameter" || b.category === "state";
    const from = always ? 0 : Math.max(b.first, 0), to = always ? n : Math.min(b.last + 1, n);
    if (to <= from) return;
    const life = always ? "always" : `launch ${from + 1} to ${to}`;
    parts.push(svg("rect", { class: `life ${b.category}${py(b.offset) - py(b.offset + b.bytes) < 4 ? " thin" : ""}`, x: px(from), y: py(b.offset + b.bytes), width: Math.max(px(to) - px(from), 1),
      height: Math.max(py(b.offset) - py(b.offset + b.bytes), 0.7), "data-buffer": k,
      on: { click: () => { if (b.place >= 0) choose("place", b.place); },
        ...hover(`${b.name}: ${b.type}`, `${size(b.bytes)} at ${b.offset.toLocaleString("en")}, ${life}`, `${NAMES[b.category]}, ${where(b.place)}`, ...(taken.has(b) ? [`in place of ${taken.get(b).name}`] : [])) } }));
  });
  parts.push(svg("line", { class: "now", x1: px(E.peak_launch + 0.5), x2: px(E.peak_launch + 0.5), y1: T, y2: H - B }),
    svg("text", { class: "tick", x: px(E.peak_launch + 0.5), y: H - B + 16, "text-anchor": "middle", text: `fullest: ${E.peak_launch + 1}` }),
    svg("text", { class: "tick", x: L, y: H - 4, text: `launches 1 to ${n} of the step` }));
  const kinds = CATEGORIES.filter((c) => E.buffers.some((b) => b.category === c));
  const picture = el("figure", { class: "card" }, el("figcaption", {}, "The arena over the step",
    el("span", { class: "legend" }, ...kinds.map((c) => el("span", { class: `key ${c}`, text: NAMES[c] })))),
    svg("svg", { class: "map", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `the arena, ${size(D.arena)}, offset against launch` }, ...parts));
  byId("memory").replaceChildren(el("h2", { text: `${size(D.arena)} of arena` }),
    el("p", { text: `${D.arena.toLocaleString("en")} bytes, known before the first step. A value that overlaps an earlier one takes over its bytes. ${inPlace(taken)}` }),
    picture, el("h2", { text: "Who holds the peak" }),
    el("p", { text: `While launch ${launchName(E.peak_launch)} runs, the step is fullest; all rows together are the arena.` }), holders(),
    el("h2", { text: "The largest values" }), largest());
}
// What is written over a value by the launch that reads it last: value -> the one before it. Only such two lie in
// the same bytes at one launch, and the lives of both end with the later one's.
function takenOver() {
  const found = new Map(), values = E.buffers.filter((b) => b.category !== "workspace" && b.last >= 0);
  for (const b of values) {
    if (b.first < 0) continue;
    const before = values.filter((a) => a.first < b.first && b.first <= a.last && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes);
    if (before.length) found.set(b, before.reduce((x, a) => (a.first > x.first ? a : x)));
  }
  return found;
}
function inPlace(taken) {
  return taken.size ? `${plural(taken.size, "value is", "values are")} written in place of one that the same launch reads last: ${size(sum([...taken.keys()], (b) => b.bytes))}.` : "Nothing is written in place.";
}
function holders() {
  const most = Math.max(...E.peak.map((s) => s.bytes), 1);
  const rows = E.peak.map((s) => {
    const fill_ = el("div", { class: `fill ${s.category}` });
    fill_.style.width = `${Math.max(1, (s.bytes / most) * 140)}px`;
    const cells = [el("td", { text: s.place >= 0 ? where(s.place) : "" }), el("td", {}, el("span", { class: `key ${s.category}`, text: NAMES[s.category] })),
      el("td", { class: "wide-only" }, fill_), td(size(s.bytes), "num"), td(percent(s.bytes / D.arena), "num")];
    return s.place >= 0 ? pickable("place", s.place, { place: s.place }, ...cells) : el("tr", {}, ...cells);
  });
  return table(["by line", "what", "", "bytes", "share"], rows, [3, 4]);
}
function largest() {
  const chosen_ = [...E.buffers].sort((a, b) => b.bytes - a.bytes).slice(0, 40);
  const rows = chosen_.map((b) => pickable("place", b.place, { place: b.place },
    el("td", {}, el("code", { text: b.name }), el("div", { class: "soft mono", text: b.type })),
    el("td", {}, el("span", { class: `key ${b.category}`, text: NAMES[b.category] })), td(size(b.bytes), "num"),
    td(b.category === "parameter" || b.category === "state" ? "always" : `${Math.max(b.first, 0) + 1} to ${Math.min(b.last, E.launches.length - 1) + 1}`, "num"),
    td(where(b.place), "wide-only")));
  return table(["value", "what", "bytes", "launches", "line"], rows, [2, 3]);
}
function paintMemory() {
  for (const rect of byId("memory").querySelectorAll("rect.life")) {
    const b = E.buffers[Number(rect.dataset.buffer)];
    const on = touched !== null && (touchesPlace(b.place) && chosen.kind !== "launch" ||
      chosen.kind === "launch" && b.first === chosen.id);
    rect.classList.toggle("on", on);
    rect.classList.toggle("dim", touched !== null && !on);
  }
  for (const row of byId("memory").querySelectorAll("tr[data-place]")) {
    const on = touchesPlace(Number(row.dataset.place));
    row.classList.toggle("on", on);
    row.classList.toggle("dim", touched !== null && !on);
  }
}
builders.push(buildMemory);
painters.push(["memory", paintMemory]);

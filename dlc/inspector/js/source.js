// Source: the user's lines, each with its share of what a step costs.
"use strict";
const METRICS = {
  seconds: { name: "time", of: (l) => l.seconds, text: micro },
  bytes: { name: "bytes moved", of: (l) => l.bytes, text: size },
  flops: { name: "flops", of: (l) => l.flops, text: flop },
  peak: { name: "peak memory", text: size },
};
let metric = "bytes";
const CONTEXT = 4, WHOLE = 400; // lines around one that counts, where a file is long

function costs() {
  // place -> [per part or category], and the total
  const found = new Map();
  if (metric === "peak") {
    for (const s of E.peak) {
      if (s.place < 0) continue;
      const list = found.get(s.place) || found.set(s.place, []).get(s.place);
      list.push([s.category, s.bytes]);
    }
    return [found, D.arena];
  }
  for (const l of E.lines) {
    const list = found.get(l.place) || found.set(l.place, []).get(l.place);
    list.push([`p${l.part}`, METRICS[metric].of(l)]);
  }
  return [found, sum(E.lines, METRICS[metric].of)];
}
function buildSource() {
  if (timed()) metric = "seconds";
  else if (metric === "seconds") metric = "bytes";
  const names = Object.keys(METRICS).filter((m) => m !== "seconds" || timed());
  const pick = el("select", { id: "metric", on: { change: (e) => { metric = e.target.value; fillSource(); } } },
    ...names.map((m) => el("option", { value: m, text: METRICS[m].name })));
  pick.value = metric;
  byId("source").replaceChildren(
    el("div", { class: "bar" }, el("label", {}, el("span", { class: "soft", text: "share of" }), pick),
      el("span", { class: "keys", id: "source-keys" })),
    el("div", { class: "lines", id: "lines" }));
  fillSource();
  const first = byId("lines").querySelector("button.src:not(.free)");
  if (first && first.offsetTop > byId("lines").clientHeight) byId("lines").scrollTop = first.offsetTop - 120;
}
function fillSource() {
  const [found, total] = costs();
  const most = Math.max(...[...found.values()].map((list) => sum(list, (x) => x[1])), 1e-12);
  const at = new Map(D.places.map(([f, n], p) => [`${f}:${n}`, p]));
  const used = [];
  D.files.forEach((file, f) => {
    const mine = D.places.filter((p) => p[0] === f).map((p) => p[1]);
    const whole = file.lines.length <= WHOLE;
    const near = (n) => whole || mine.some((m) => Math.abs(m - n) <= CONTEXT);
    if (!mine.some((n) => found.has(at.get(`${f}:${n}`)))) return;
    used.push(el("h2", { text: file.path }));
    let skipped = false;
    const numbers = file.lines.length ? file.lines.map((_, k) => k + 1) : mine.sort((a, b) => a - b);
    for (const n of numbers) {
      if (!near(n)) { skipped = true; continue; }
      if (skipped) used.push(el("div", { class: "gap", text: "⋯" }));
      skipped = false;
      used.push(lineOf(file, n, at.get(`${f}:${n}`), found, total, most));
    }
  });
  byId("lines").replaceChildren(...used);
  const kinds = metric === "peak" ? CATEGORIES.filter((c) => E.peak.some((s) => s.category === c && s.place >= 0))
    : PARTS.filter((_, k) => E.lines.some((l) => l.part === k));
  byId("source-keys").replaceChildren(...kinds.map((k) =>
    el("span", { class: `key ${metric === "peak" ? k : `p${PARTS.indexOf(k)}`}`, text: k })));
  paintSource();
}
function lineOf(file, n, place, found, total, most) {
  const list = place === undefined ? undefined : found.get(place);
  const number = el("span", { class: "no", text: String(n) });
  const code = el("span", { class: "code", text: file.lines[n - 1] || "" });
  if (place === undefined) return el("div", { class: "src cold" }, number, code);
  const mine = list ? sum(list, (x) => x[1]) : 0;
  const parts = (list || []).filter((x) => x[1] > 0).map(([css, x]) => {
    const i = el("i", { class: css });
    i.style.width = `${(x / most) * 100}%`;
    return i;
  });
  const told = (list || []).map(([css, x]) => `${css[0] === "p" && css.length === 2 ? PARTS[css[1]] : css} ${METRICS[metric].text(x)}`);
  return el("button", { class: list ? "src" : "src free", data: { place }, "aria-label": `${where(place)}: ${told.join(", ") || "nothing"}`,
    on: { click: () => choose("place", place), ...hover(where(place), ...(told.length ? told : ["costs nothing of its own"])) } },
    number, code, !list ? null : el("span", { class: "share" }, el("span", { class: "track" }, ...parts),
      el("span", { text: mine ? percent(mine / total) : "" })));
}
function paintSource() {
  const lit = [];
  for (const line of byId("lines").querySelectorAll("button.src")) {
    const on = touchesPlace(Number(line.dataset.place));
    line.classList.toggle("on", on);
    line.setAttribute("aria-pressed", String(on));
    if (on) lit.push(line);
  }
  bring(lit);
}
builders.push(buildSource);
painters.push(["source", paintSource]);
document.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.classList || !event.target.classList.contains("src")) return;
  event.preventDefault();
  const all = [...byId("lines").querySelectorAll("button.src")];
  const next = all[all.indexOf(event.target) + step];
  if (next) next.focus();
});

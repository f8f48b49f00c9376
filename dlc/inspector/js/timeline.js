// Timeline: one profiled step by thread, with what it waited, and where all threads met.
"use strict";
const LANE = 40, GAP = 8, SIDE = 66;
let zoom = 1;
// A step without a trace by thread, as a report measures it: its launches one after another.
function traced() {
  if (E.timeline.spans) return E.timeline;
  let at = 0;
  const spans = E.launches.map((l, k) => [0, k, at, (at += l.seconds * 1e9)]);
  return { seconds: at / 1e9, threads: 1, spans, opened: [], left_out: 0, busy: [at / 1e9], waiting: [0] };
}
function buildTimeline() {
  if (!timed()) { byId("timeline").replaceChildren(); return; }
  const t = traced();
  const slider = el("input", { type: "range", id: "zoom", min: 0, max: 6, step: 0.5, "aria-label": "zoom", on: { input: (e) => { zoom = 2 ** Number(e.target.value); drawTimeline(t); } } });
  slider.value = String(Math.log2(zoom));
  const told = E.timeline.spans ? `One of the shortest of the profiled steps. Tracing adds no barrier: a thread notes when it began and ended. Dashed lines: all threads meet. ${t.left_out ? `The ${t.left_out.toLocaleString("en")} shortest spans are left out.` : ""}`
    : "Launch by launch, without threads: dlc inspect --profile shows them.";
  byId("timeline").replaceChildren(el("h2", { text: `A step in time: ${micro(t.seconds)}` }), el("p", { text: told }),
    el("figure", { class: "card" }, el("figcaption", {}, "who does what", el("span", { class: "legend" }, ...PARTS.map((p, k) => el("span", { class: `key p${k}`, text: p })),
      el("span", { class: "key waits", text: "waiting" })), el("label", { class: "zoom" }, "zoom", slider)), el("div", { class: "scroll-x", id: "lanes", tabindex: 0, "aria-label": "threads over time" })),
    threadTable(t), el("h2", { text: "The longest" }), longestTable());
}
function drawTimeline(t) {
  const total = t.seconds * 1e9 || 1, room = Math.max(byId("lanes").clientWidth - 2, 320), W = Math.round(room * zoom);
  const px = (ns) => SIDE + (ns / total) * (W - SIDE - 8), H = t.threads * (LANE + GAP) + 30, parts = [];
  for (let lane = 0; lane < t.threads; lane += 1) parts.push(svg("rect", { class: "lane", x: SIDE, y: lane * (LANE + GAP) + 4, width: W - SIDE - 8, height: LANE }),
    svg("text", { class: "tick", x: SIDE - 8, y: lane * (LANE + GAP) + 4 + LANE / 2 + 4, "text-anchor": "end", text: E.timeline.spans ? `thread ${lane}` : "all" }));
  for (const at of t.opened) parts.push(svg("line", { class: "meet", x1: px(at), x2: px(at), y1: 0, y2: H - 26 }));
  for (const [thread, k, begin, end] of t.spans) {
    const box = { x: px(begin), y: thread * (LANE + GAP) + 4, width: Math.max(px(end) - px(begin), 0.6), height: LANE };
    parts.push(k < 0 ? svg("rect", { class: "waits", ...box, on: hover(`thread ${thread} waits`, micro((end - begin) / 1e9)) })
      : svg("rect", { class: `dotk p${partOf(k)}`, ...box, "data-launch": k, on: { click: () => choose("launch", k),
        ...hover(launchName(k), `thread ${thread}: ${micro((end - begin) / 1e9)} from ${micro(begin / 1e9)}`, wheres(E.launches[k].places)) } }));
  }
  const ticks = Math.max(2, Math.round((room / 160) * zoom));
  for (let k = 0; k <= ticks; k += 1) parts.push(svg("text", { class: "tick", x: px((total * k) / ticks), y: H - 6,
    "text-anchor": k === 0 ? "start" : k === ticks ? "end" : "middle", text: micro((t.seconds * k) / ticks) }));
  const drawn = svg("svg", { width: W, height: H, class: "timeline", role: "img", "aria-label": `${plural(t.threads, "thread")} over ${micro(t.seconds)}` }, ...parts);
  drawn.style.width = `${W}px`;
  byId("lanes").replaceChildren(drawn);
  byId("lanes").dataset.wide = byId("lanes").clientWidth;
  markTimeline();
}
function threadTable(t) {
  if (!E.timeline.spans) return null;
  const share = (x) => percent(x / t.seconds);
  return table(["thread", "busy", "waiting", "looking for work"], t.busy.map((busy, k) => el("tr", {}, td(String(k), "num"), td(share(busy), "num"),
    td(share(t.waiting[k]), "num"), td(share(Math.max(0, t.seconds - busy - t.waiting[k])), "num"))), [0, 1, 2, 3]);
}
function longestTable() {
  const total = sum(E.launches, (l) => l.seconds), ranked = E.launches.map((l, k) => [l, k]).sort((a, b) => b[0].seconds - a[0].seconds);
  return table(["#", "launch", "time", "share", "line"], ranked.slice(0, 30).map(([l, k]) => pickable("launch", k, { launch: k }, td(String(k + 1), "num"),
    el("td", {}, el("b", { text: l.name })), td(micro(l.seconds), "num"), td(percent(l.seconds / total), "num"), td(wheres(l.places.slice(0, 4)), "wide-only"))), [0, 2, 3]);
}
// Drawn when it is first in sight: only then is its width known.
function paintTimeline() {
  const lanes = byId("lanes");
  if (lanes && Number(lanes.dataset.wide) !== lanes.clientWidth) drawTimeline(traced());
  else markTimeline();
}
function markTimeline() {
  for (const part of byId("timeline").querySelectorAll("[data-launch]")) {
    const on = touchesLaunch(Number(part.dataset.launch));
    part.classList.toggle("on", on);
    part.classList.toggle("dim", touched !== null && !on);
  }
}
builders.push(buildTimeline);
painters.push(["timeline", paintTimeline]);
unpack();

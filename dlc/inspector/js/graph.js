// Graph: the text of a stage as rows with arcs, collapsed by line; only the rows in sight are in the page.
"use strict";
const HEIGHT = 22, AROUND = 12, FEW = 70, ARCS = 300;
let stage = 0, query = "", changesOnly = false;
let zoomed = "line";        // what rows are collapsed by: line, layer, or the outermost layer
let items = [];             // {head, row, key, sign} in order, as they are shown
let open = new Set(), homes = new Map(), readers = new Map();
let parts = [];             // the blocks of the stage, as it is collapsed
let joints = [];            // [item, item, row, row]: each pair of items once, and those of the chosen node

function buildGraph() {
  stage = Math.max(E.stages.findIndex((s) => s.name === "separate"), 0);
  const slider = el("input", { type: "range", id: "pass", min: 0, max: E.stages.length - 1, step: 1, "aria-label": "pass",
    on: { input: (e) => { stage = Number(e.target.value); fillStage(); } } });
  slider.value = String(stage);
  const search = el("input", { type: "search", id: "search", placeholder: "search: conv, d_, f32[64", "aria-label": "search",
    on: { input: (e) => { query = e.target.value.trim().toLowerCase(); arrange(); } } });
  const only = el("input", { type: "checkbox", id: "changes", on: { change: (e) => { changesOnly = e.target.checked; arrange(); } } });
  byId("graph").replaceChildren(
    el("div", { class: "passes" }, slider, el("ol", { id: "pass-names" }), el("p", { id: "pass-told" })),
    el("div", { class: "bar" }, search, el("label", {}, only, "changes only"),
      layered() ? grouping() : null,
      el("button", { id: "unfold", class: "link", text: "expand all", on: { click: unfold } }),
      el("span", { class: "keys" }, ...PARTS.map((p, k) => el("span", { class: `key p${k}`, text: p })))),
    el("div", { class: "rows", id: "rows", tabindex: 0, "aria-label": "nodes", on: { scroll: draw, keydown: walkRows } }),
    el("div", { class: "detail", id: "detail", hidden: true }));
  changesOnly = false;
  query = "";
  fillStage();
}
const layered = () => E.stages.some((s) => s.functions.some((f) => f[1].some((r) => D.rows[r].scope)));
function grouping() {
  const pick = el("select", { id: "zoomed", on: { change: (e) => { zoomed = e.target.value; parts = blocks(); open = new Set(); arrange(); } } },
    ...[["line", "line"], ["layer", "layer"], ["outermost", "outermost layer"]].map(([value, text]) => el("option", { value, text })));
  pick.value = zoomed;
  return el("label", {}, "by", pick);
}
function toStage(at) {
  stage = at;
  byId("pass").value = String(at);
  fillStage();
}
function fillStage() {
  const s = E.stages[stage];
  byId("pass-names").replaceChildren(...E.stages.map((each, k) => el("li", { class: k === stage ? "on" : "" }, each.name,
    el("small", {}, el("span", { class: "plus", text: k ? `+${each.added.length} ` : "" }),
      el("span", { class: "minus", text: k ? `−${each.removed.length}` : `${sum(each.functions, (f) => f[1].length)}` })))));
  const nodes = plural(sum(s.functions, (f) => f[1].length), "node");
  const told = stage ? `${nodes} after ${s.name}${s.seconds ? `, which took ${micro(s.seconds)}` : ""}. ` : `${nodes}, as written. `;
  const rules = s.rules.length ? el("details", {}, el("summary", { text: `${plural(s.rules.length, "rule")} fired` }),
    ...s.rules.map((rule) => el("div", {}, el("span", { class: "num", text: `${rule.count} × ` }), el("code", { text: rule.text }), " at ",
      ...rule.places.slice(0, 8).map((p) => el("button", { class: "link", text: where(p), on: { click: () => choose("place", p) } }))))) : null;
  byId("pass-told").replaceChildren(told, rules || "");
  readers = new Map();
  homes = new Map();
  for (const [, rows] of s.functions) for (const r of rows) for (const a of D.rows[r].args) {
    if (!readers.has(a)) readers.set(a, []);
    readers.get(a).push(r);
  }
  parts = blocks();
  open = new Set();
  if (sum(s.functions, (f) => f[1].length) <= FEW) parts.forEach((b) => open.add(b.key));
  arrange();
}
// Neighbours of one line (or layer) and part are a block; so is the body of a launch.
function groupOf(row) {
  return zoomed === "line" || !row.scope ? where(row.places[0]) : zoomed === "layer" ? row.scope : row.scope.split("/")[0];
}
function blocks() {
  const found = [], functions = E.stages[stage].functions;
  functions.forEach(([name, rows], f) => {
    const whole = f < functions.length - 1;
    let block = null;
    for (const r of rows) {
      const row = D.rows[r];
      const key = whole ? name : row.op === "input" ? "inputs" : `${groupOf(row)} ${row.part}`;
      if (!block || block.same !== key) {
        block = { same: key, key: `${f}/${found.length}`, rows: [], part: row.part, place: whole || key === "inputs" ? -1 : row.places[0],
          title: whole ? name : key === "inputs" ? `inputs of ${name}` : groupOf(row) };
        found.push(block);
      }
      block.rows.push(r);
    }
  });
  return found;
}
function matches(r) {
  const row = D.rows[r];
  return `${row.name} ${row.type} ${row.call}`.toLowerCase().includes(query);
}
function arrange() {
  const s = E.stages[stage], added = new Set(stage ? s.added : []);
  items = [];
  if (changesOnly && stage) {
    const gone = s.removed.filter((r) => !query || matches(r)), fresh = s.added.filter((r) => !query || matches(r));
    items.push({ head: `removed: ${gone.length}` }, ...gone.map((row) => ({ row, sign: "−" })),
      { head: `added: ${fresh.length}` }, ...fresh.map((row) => ({ row, sign: "+" })));
  } else {
    for (const b of parts) {
      const rows = query ? b.rows.filter(matches) : b.rows;
      if (query && !rows.length) continue;
      const fresh = added.size ? b.rows.filter((r) => added.has(r)).length : 0;
      items.push({ head: b.title, key: b.key, block: b, fresh, opened: query !== "" || open.has(b.key) });
      if (query || open.has(b.key)) rows.forEach((row) => items.push({ row, sign: added.has(row) ? "+" : "" }));
    }
  }
  homes = new Map();
  items.forEach((item, k) => {
    if (item.row !== undefined) homes.set(item.row, k);
    else if (item.block) item.block.rows.forEach((r) => homes.set(r, k));
  });
  join();
  const box = byId("rows");
  box.replaceChildren(el("div", { id: "sheet" }));
  byId("sheet").style.height = `${items.length * HEIGHT + 8}px`;
  byId("unfold").textContent = open.size ? "collapse all" : "expand all";
  draw();
}
function unfold() {
  if (open.size) open = new Set(); else parts.forEach((b) => open.add(b.key));
  arrange();
}
function draw() {
  const box = byId("rows"), sheet = byId("sheet");
  if (!sheet || byId("graph").hidden) return;
  const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - AROUND);
  const to = Math.min(items.length, Math.ceil((box.scrollTop + (box.clientHeight || 600)) / HEIGHT) + AROUND);
  const shown = [];
  for (let k = from; k < to; k += 1) shown.push(rowOf(items[k], k));
  sheet.replaceChildren(arcs(from, to), ...shown);
}
function rowOf(item, k) {
  const node = item.row === undefined ? headOf(item) : nodeOf(item);
  node.style.top = `${k * HEIGHT}px`;
  return node;
}
function headOf(item) {
  const b = item.block;
  const on = b && b.rows.some(isTouched);
  const told = b ? [el("em", { text: `  ${b.place >= 0 ? sourceOf(b.place) : ""}` })] : [];
  const fresh = item.fresh ? el("span", { class: "plus", text: `+${item.fresh}` }) : null;
  const size_ = b ? el("span", { class: "at", text: plural(b.rows.length, "node") }) : null;
  const part = b && b.part !== undefined ? `p${b.part}` : "";
  return el("button", { class: `row head ${part}${on ? " on" : ""}`, "aria-expanded": b ? String(item.opened) : null, tabindex: -1,
    on: { click: () => { if (!b) return; if (open.has(b.key)) open.delete(b.key); else open.add(b.key); arrange(); } } },
    el("span", { class: "pin" }), el("span", { class: "code" }, `${b ? (item.opened ? "▾ " : "▸ ") : ""}${item.head}`, ...told), fresh, size_);
}
function nodeOf(item) {
  const r = item.row, row = D.rows[r];
  const pick = chosen && chosen.kind === "row" && chosen.id === r;
  return el("button", { class: `row inner p${row.part}${isTouched(r) ? " on" : ""}${pick ? " pick" : ""}${item.sign === "−" ? " gone" : ""}`,
    tabindex: -1, data: { row: r }, on: { click: () => choose("row", r) } },
    el("span", { class: `sign ${item.sign === "−" ? "minus" : "plus"}`, text: item.sign || "" }), el("span", { class: "pin" }),
    el("span", { class: "code" }, row.name, el("em", { text: `: ${row.type} = ` }), row.call),
    el("span", { class: "at", text: wheres(row.places.slice(0, 2)) }));
}
// Arcs from a value to its readers, between rows or the blocks that they are in. What inputs are read
// by shows with the node that is chosen: they are read everywhere.
function join() {
  const seen = new Set();
  joints = [];
  for (const [a, users] of readers) {
    if (D.rows[a].op === "input" || homes.get(a) === undefined) continue;
    for (const u of users) {
      const i = homes.get(a), j = homes.get(u), key = i * 2 ** 26 + j;
      if (j === undefined || i === j || seen.has(key)) continue;
      seen.add(key);
      joints.push([i, j, ""]);
    }
  }
}
function chosenJoints() {
  if (!chosen || chosen.kind !== "row") return [];
  const at = homes.get(chosen.id);
  const found = D.rows[chosen.id].args.map((a) => [homes.get(a), at, " in"])
    .concat((readers.get(chosen.id) || []).map((u) => [at, homes.get(u), " out"]));
  return found.filter(([i, j]) => i !== undefined && j !== undefined && i !== j);
}
function arcs(from, to) {
  const picture = svg("svg", { height: items.length * HEIGHT + 8, width: 64 });
  const wide = innerWidth > 900 ? 60 : 34;
  const near = joints.filter(([i, j]) => Math.max(i, j) >= from && Math.min(i, j) <= to).slice(0, ARCS);
  for (const [i, j, css] of near.concat(chosenJoints())) {
    const y = i * HEIGHT + 13, z = j * HEIGHT + 9, bow = Math.min(6 + Math.log2(1 + Math.abs(j - i)) * 7, wide - 4);
    picture.append(svg("path", { class: `arc${css}`, d: `M${wide} ${y}C${wide - bow * 1.3} ${y} ${wide - bow * 1.3} ${z} ${wide} ${z}` }));
  }
  return picture;
}
function walkRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.id !== "rows") return;
  event.preventDefault();
  const at = chosen && chosen.kind === "row" ? homes.get(chosen.id) : undefined;
  let k = at === undefined ? -1 : at;
  do { k += step; } while (items[k] && items[k].row === undefined);
  if (items[k]) choose("row", items[k].row);
}
function reveal(r) {
  if (changesOnly) { changesOnly = false; byId("changes").checked = false; }
  const b = parts.find((each) => each.rows.includes(r));
  if (!b) return;
  if (!open.has(b.key)) { open.add(b.key); arrange(); }
  const box = byId("rows"), at = homes.get(r) * HEIGHT;
  if (at < box.scrollTop || at > box.scrollTop + box.clientHeight - 60) box.scrollTop = at - box.clientHeight / 3;
}
function paintGraph() {
  const detail = byId("detail");
  if (!detail) return;
  detail.hidden = !(chosen && chosen.kind === "row");
  if (!detail.hidden) {
    const row = D.rows[chosen.id];
    const links = (rs) => [...new Set(rs)].slice(0, 24).map((r) => el("button", { class: "link mono", text: D.rows[r].name,
      on: { click: () => { choose("row", r); reveal(r); } } }));
    const cost = row.flops || row.bytes ? el("p", { class: "soft", text: `${flop(row.flops)}, ${size(row.bytes)} read and written` }) : "";
    detail.replaceChildren(el("p", { class: "code", text: `${row.name}: ${row.type} = ${row.call}` }), cost,
      el("p", {}, "reads ", ...(row.args.length ? links(row.args) : ["nothing"])),
      el("p", {}, "is read by ", ...((readers.get(chosen.id) || []).length ? links(readers.get(chosen.id)) : ["nothing"])));
  } else if (chosen) sightTouched();
  draw();
}
// Scrolls to the first row of what is chosen, unless one is in sight.
function sightTouched() {
  const on = (item) => (item.block ? item.block.rows.some(isTouched) : item.row !== undefined && isTouched(item.row));
  const box = byId("rows"), from = Math.ceil(box.scrollTop / HEIGHT), to = Math.floor((box.scrollTop + box.clientHeight) / HEIGHT);
  if (items.slice(from, to).some(on)) return;
  const k = items.findIndex(on);
  if (k >= 0) box.scrollTop = Math.max(0, k * HEIGHT - 60);
}
builders.push(buildGraph);
painters.push(["graph", paintGraph]);

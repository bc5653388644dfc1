// What pages can do beyond being read. Nothing here is needed to read or to do something.
const d = document, one = s => d.querySelector(s), all = s => [...d.querySelectorAll(s)];
const kept = { get: k => { try { return localStorage.getItem(k) } catch { } }, set: (k, v) => { try { localStorage.setItem(k, v) } catch { } } };

// Times: as the server writes them, once a second; or in full.
const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const span = (s, fine) => {
  const at = units.findIndex(([, size]) => s >= size || size === 1), told = [];
  for (const [name, size] of units.slice(at, fine ? at + 2 : at + 1)) {
    const n = Math.floor(s / size); s %= size;
    if (n || !told.length) told.push(n, name);
  }
  return told.join(" ");
};
const words = (at, fine) => {
  const apart = Date.now() - at, s = Math.floor(Math.abs(apart) / 1000);
  // What is to come is so far away to the nearest unit.
  const unit = units.find(([, size]) => s >= size || size === 1)[1];
  return apart < 0 ? "in " + span(fine || unit === 1 ? s : s + unit / 2, fine) : fine ? "due now" : s < 1 ? "just now" : span(s) + " ago";
};
const here = at => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace("T", " ");
const mode = () => kept.get("times") || "relative";
const tick = () => {
  for (const e of all("time[data-t]")) {
    const at = +e.dataset.t, fine = "c" in e.dataset, how = e.full ? "UTC" : fine ? "relative" : mode();
    // In full it may be wider than its place.
    if ("full" in e) e.style.whiteSpace = e.full ? "normal" : "";
    const w = how === "UTC" ? e.title : how === "local" ? here(at) : words(at, fine);
    if (e.textContent !== w) e.textContent = w;
  }
};
setInterval(() => { if (!d.hidden) { tick(); flush() } }, 1000);

// Copying says so only when it did.
const dress = root => { if (navigator.clipboard) for (const b of root.querySelectorAll("[data-copy]")) b.hidden = false };
dress(d);
d.addEventListener("click", async event => {
  const b = event.target.closest("[data-copy]");
  if (b) {
    const of = b.dataset.of && d.getElementById(b.dataset.of);
    try { await navigator.clipboard.writeText(of ? of.textContent : b.dataset.copy); b.textContent = "Copied" } catch { b.textContent = "Not copied" }
    setTimeout(() => b.textContent = "Copy", 2000);
  }
  if (event.target.closest("[data-pause]")) toggle();
  const keys = event.target.closest("[data-keys]"), how = event.target.closest("[data-times] button");
  if (keys) { kept.set("keys", off() ? "on" : "off"); say() }
  if (how) { kept.set("times", how.value); say(); tick() }
  // A press on a time, which is no link, says it in full, and the next one as before.
  const time = event.target.closest("time[data-t]");
  if (time && !time.closest("a,button,summary,label")) { time.full = !time.full; tick() }
  const menu = one(".account[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});
const off = () => kept.get("keys") === "off";
const say = () => {
  const b = one("[data-keys]"), times = one("[data-times]");
  if (b) { b.hidden = false; b.textContent = off() ? "Turn keys on" : "Turn keys off" }
  if (times) { times.hidden = false; for (const t of times.querySelectorAll("button")) t.setAttribute("aria-pressed", t.value === mode()) }
};
say();
tick();

// What is pressed twice in a moment is sent once.
d.addEventListener("submit", event => {
  const f = event.target, now = Date.now();
  if (!f.matches("[method=post]") || event.defaultPrevented) return;
  if (now - f.dataset.sent < 2000) event.preventDefault(); else f.dataset.sent = now;
});
addEventListener("pageshow", () => { for (const f of d.forms) delete f.dataset.sent });

// Live parts are morphed into the page, so that focus, selection, open parts and what was
// typed or ticked survive. What has an id is found by it; a row that has gone stays, grey.
const own = ["open", "checked"];
const morph = (from, to) => {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) { from.replaceWith(to.cloneNode(true)); return }
  if (from.nodeType !== 1) { if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue; return }
  const current = from.classList.contains("at");
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !own.includes(name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && !own.includes(name)) from.setAttribute(name, value);
  if (current) from.classList.add("at");
  if (from === d.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(from.nodeName)) return;
  const named = new Map([...from.children].filter(e => e.id).map(e => [e.id, e])), stay = new Set();
  let at = from.firstChild;
  for (const child of [...to.childNodes]) {
    let twin = child.id ? named.get(child.id) : at;
    if (!child.id) while (twin && (twin.id || twin.nodeName !== child.nodeName)) twin = twin.nextSibling;
    if (twin && !stay.has(twin) && twin.nodeName === child.nodeName) { at = twin.nextSibling; stay.add(twin); morph(twin, child) }
    else { const made = child.cloneNode(true); from.insertBefore(made, at); stay.add(made) }
  }
  const left = [...from.childNodes].filter(e => !stay.has(e)), grey = left.filter(e => e.nodeName === "TR" && e.id).slice(-10);
  for (const e of left) grey.includes(e) ? e.classList.add("left") : e.remove();
};
// Rows that come on top, and not under whoever points at them.
let held = [];
const flush = () => {
  const body = one("[data-add]"), waiting = one("[data-waiting]");
  if (!body) return;
  if (!body.matches(":hover,:focus-within")) {
    for (const row of held.splice(0)) if (!body.rows[0] || row.id > body.rows[0].id) body.prepend(row);
    [...body.rows].slice(200).forEach(row => row.remove());
  }
  if (waiting) waiting.textContent = held.length ? held.length + " new wait." : "";
};
const main = one("main"), mark = one("#live"), from = main?.dataset.live;
let stream = null, paused = kept.get("paused") === "yes", seen = "", announced = 0;
const clock = () => new Date().toTimeString().slice(0, 8);
const show = (kind, text) => { if (mark) { mark.hidden = !from; mark.className = "live " + kind; mark.firstElementChild.textContent = text } };
// Figures that nothing renews are grey, and say of when they are.
const old = text => { for (const f of all(".figures")) { f.classList.toggle("left", !!text); f.title = text } };
const stop = () => { stream?.close(); stream = null };
const start = () => {
  if (!from || stream || paused || d.hidden) return;
  stream = new EventSource(from);
  stream.onopen = () => { show("", "live"); old("") };
  stream.onerror = () => { seen ||= clock(); show("lost", "as of " + seen); old("as of " + seen); if (stream && stream.readyState === 2) { stop(); setTimeout(start, 5000) } };
  stream.addEventListener("gone", () => { stop(); location.reload() });
  stream.addEventListener("part", event => {
    const box = d.createElement("template");
    box.innerHTML = event.data;
    for (const part of [...box.content.children]) {
      const there = d.getElementById(part.id);
      if (!there) continue;
      if ("add" in part.dataset) { held.push(...[...part.rows].reverse()); held = held.slice(-200); flush() }
      else morph(there, part);
      dress(there);
    }
    seen = clock(); tick();
    const line = one("#headline"), voice = one("#say");
    if (line && voice && Date.now() - announced > 30000 && voice.textContent !== line.textContent) { announced = Date.now(); voice.textContent = line.textContent }
  });
};
const toggle = () => {
  paused = !paused; kept.set("paused", paused ? "yes" : "no");
  if (paused) { stop(); show("paused", "paused since " + clock()) } else { show("", "live"); start() }
};
// A browser has six connections for a host: a hidden page keeps none.
d.addEventListener("visibilitychange", () => { if (d.hidden) stop(); else start() });
addEventListener("pagehide", stop);
if (from) { show(paused ? "paused" : "", paused ? "paused" : "live"); start() }

  // What can be undone for a moment only.
  for (const f of all("[data-undo]")) setTimeout(() => { f.hidden = true }, +f.dataset.undo);

  // Keys.
let going = false;
const rows = () => all("main tbody tr").filter(row => row.querySelector("a"));
const step = by => {
  const list = rows(), at = list.findIndex(row => row.classList.contains("at"));
  const next = list[Math.min(list.length - 1, Math.max(0, at + by))];
  if (!next) return;
  list.forEach(row => row.classList.remove("at"));
  next.classList.add("at"); next.querySelector("a").focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" });
};
d.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || off()) return;
  const at = event.target, box = at.type === "checkbox";
  if (event.key === "Escape") { at.blur?.(); one(".account[open]")?.removeAttribute("open"); return }
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(at.nodeName) && !box || at.isContentEditable) return;
  const go = key => all("a[data-go]").find(a => a.dataset.go === key)?.click();
  if (going) { going = false; go(event.key); event.preventDefault(); return }
  const row = box ? at.closest("tr") : one("main tr.at");
  switch (event.key) {
    case "/": one("#search")?.focus(); event.preventDefault(); break;
    case "g": going = true; setTimeout(() => going = false, 1500); break;
    case "j": step(1); break;
    case "k": step(-1); break;
    case "x": row?.querySelector("input[type=checkbox]")?.click(); break;
    // A box would send its form.
    case "Enter": if (box) { row?.querySelector("a")?.click(); event.preventDefault() } break;
    case "p": if (from) toggle(); break;
    case "t": kept.set("times", mode() === "relative" ? "UTC" : "relative"); say(); tick(); break;
    case "?": go("?"); break;
  }
});

// What pages can do beyond being read: live parts, keys, copying, times that stay true.
// Nothing here is needed to read a page or to do something.
(() => {
  const d = document, one = s => d.querySelector(s), all = s => [...d.querySelectorAll(s)];
  const kept = { get: k => { try { return localStorage.getItem(k) } catch { return null } }, set: (k, v) => { try { localStorage.setItem(k, v) } catch { } } };

  // Times: as the server writes them, once a second.
  const words = at => {
    const apart = Date.now() + skew - at, past = apart >= 0, s = Math.floor(Math.abs(apart) / 1000);
    if (past && s < 1) return "just now";
    const t = s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 86400 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
    return past ? t + " ago" : "in " + t;
  };
  let skew = 0;
  const tick = () => { for (const e of all("time[data-t]")) { const w = words(+e.dataset.t); if (e.textContent !== w) e.textContent = w } };
  setInterval(() => { if (!d.hidden) tick() }, 1000);

  // Copying says so only when it did.
  const dress = root => { if (navigator.clipboard) for (const b of root.querySelectorAll("[data-copy]")) b.hidden = false };
  dress(d);
  d.addEventListener("click", async event => {
    const b = event.target.closest("[data-copy]");
    if (b) {
      try { await navigator.clipboard.writeText(b.dataset.copy); b.textContent = "Copied" } catch { b.textContent = "Not copied" }
      setTimeout(() => { b.textContent = "Copy" }, 2000);
    }
    if (event.target.closest("[data-pause]")) toggle();
    const keys = event.target.closest("[data-keys]");
    if (keys) { kept.set("keys", kept.get("keys") === "off" ? "on" : "off"); say() }
    const menu = one(".account[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });
  const say = () => { const b = one("[data-keys]"); if (b) { b.hidden = false; b.textContent = kept.get("keys") === "off" ? "Turn keys on" : "Turn keys off" } };
  say();

  // What can be undone for a moment only.
  for (const f of all("[data-undo]")) setTimeout(() => { f.hidden = true }, +f.dataset.undo);

  // Live parts: each comes as an element with an id, and is morphed into the page, so
  // that focus, selection, open parts and what was typed survive.
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) { from.replaceWith(to.cloneNode(true)); return }
    if (from.nodeType !== 1) { if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue; return }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && name !== "open") from.setAttribute(name, value);
    if (from === d.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(from.nodeName)) return;
    const old = [...from.childNodes], now = [...to.childNodes];
    now.forEach((child, at) => old[at] ? morph(old[at], child) : from.append(child.cloneNode(true)));
    old.slice(now.length).forEach(child => child.remove());
  };
  const main = one("main"), mark = one("#live"), from = main && main.dataset.live;
  let stream = null, paused = kept.get("paused") === "yes", seen = "", announced = 0;
  const clock = () => new Date().toTimeString().slice(0, 8);
  const show = (kind, text) => { if (mark) { mark.hidden = !from; mark.className = "live " + kind; mark.firstElementChild.textContent = text } };
  const stop = () => { if (stream) stream.close(); stream = null };
  const start = () => {
    if (!from || stream || paused || d.hidden) return;
    stream = new EventSource(from);
    stream.onopen = () => show("", "live");
    stream.onerror = () => { show("lost", "as of " + (seen || clock())); if (stream && stream.readyState === 2) { stop(); setTimeout(start, 5000) } };
    stream.addEventListener("gone", () => { stop(); location.reload() });
    stream.addEventListener("part", event => {
      const box = d.createElement("template");
      box.innerHTML = event.data;
      for (const part of [...box.content.children]) {
        const there = d.getElementById(part.id);
        if (!there) continue;
        morph(there, part);
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
  // A browser has six connections for a host: a page that nobody sees keeps none.
  d.addEventListener("visibilitychange", () => { if (d.hidden) stop(); else start() });
  addEventListener("pagehide", stop);
  if (from) { show(paused ? "paused" : "", paused ? "paused" : "live"); start() }

  // Keys.
  let going = false;
  const rows = () => all("main tbody tr").filter(row => row.querySelector("a"));
  const step = by => {
    const list = rows(); if (!list.length) return;
    const at = list.findIndex(row => row.classList.contains("at"));
    const next = list[Math.min(list.length - 1, Math.max(0, at + by))];
    list.forEach(row => row.classList.remove("at"));
    next.classList.add("at"); next.querySelector("a").focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" });
  };
  d.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || kept.get("keys") === "off") return;
    const at = event.target;
    if (event.key === "Escape" && at.blur) { at.blur(); const menu = one(".account[open]"); if (menu) menu.open = false; return }
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(at.nodeName) || at.isContentEditable) return;
    const go = key => { const way = all("a[data-go]").find(a => a.dataset.go === key); if (way) way.click() };
    if (going) { going = false; go(event.key); event.preventDefault(); return }
    switch (event.key) {
      case "/": one("#search") && one("#search").focus(); event.preventDefault(); break;
      case "g": going = true; setTimeout(() => { going = false }, 1500); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "p": if (from) toggle(); break;
      case "?": go("?"); break;
    }
  });
})();

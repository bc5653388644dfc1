// What of a page somebody could not see, name or hit: sentences, none of which should be
// there. It runs in the page; `arguments[0]` would be empty.
const bad = [];
for (const d of document.querySelectorAll("details")) d.open = true;
const box = e => e.getBoundingClientRect();
const style = e => getComputedStyle(e);
const isShown = e => { const b = box(e), s = style(e); return b.width > 0 && b.height > 0 && s.visibility !== "hidden" };
const isUnseen = e => e.closest(".unseen, .skip, .symbols") || [...ancestors(e)].some(a => style(a).clipPath === "inset(50%)");
function* ancestors(e) { for (let at = e; at; at = at.parentElement) yield at }
const what = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (typeof e.className === "string" && e.className ? "." + e.className.trim().replace(/\s+/g, ".") : "") + ` "${(e.textContent || "").trim().slice(0, 30)}"`;
const text = e => (e.textContent || "").trim();
const byIds = (e, name) => (e.getAttribute(name) || "").split(/\s+/).filter(Boolean);
const nameOf = e => byIds(e, "aria-labelledby").map(id => document.getElementById(id)).filter(Boolean).map(text).join(" ")
  || (e.getAttribute("aria-label") || "").trim()
  || (e.labels && [...e.labels].map(text).join(" ").trim())
  || (/^(A|BUTTON|SUMMARY)$/i.test(e.tagName) ? text(e) : "")
  || (e.getAttribute("title") || "").trim();

// The page as a whole.
if (!document.documentElement.lang) bad.push("the page does not say its language");
if (!document.title) bad.push("the page has no title");
if (document.querySelectorAll("main").length !== 1) bad.push("not one main part");

// Names.
const controls = [...document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden])")].filter(e => isShown(e) && !e.closest("[aria-hidden=true]"));
for (const e of controls) if (!nameOf(e)) bad.push(`${what(e)} has no name`);
for (const e of document.querySelectorAll("svg, img")) {
  if (e.closest("[aria-hidden=true]") || e.parentElement.closest("svg")) continue;
  if (!(e.tagName === "IMG" ? e.alt : /^(img|group)$/.test(e.getAttribute("role")) && (e.getAttribute("aria-label") || text(e.querySelector(":scope > title") || e)))) bad.push(`${what(e)} is a picture without a name`);
}
for (const e of document.querySelectorAll("table")) {
  if (e.closest("[aria-hidden=true]")) continue;
  if (!e.caption || !text(e.caption)) bad.push(`${what(e)} has no caption`);
  for (const th of e.querySelectorAll("th")) if (!th.scope) bad.push(`${what(th)} does not say of what it is the head`);
}
for (const e of document.querySelectorAll("fieldset")) if (!e.querySelector("legend") && !e.getAttribute("aria-label")) bad.push(`${what(e)} has no legend`);

// Headings: one title, and no step is left out.
const headings = [...document.querySelectorAll("main h1, main h2, main h3, main h4")].filter(isShown).map(e => [+e.tagName[1], e]);
if (headings.filter(([level]) => level === 1).length !== 1) bad.push("not one h1");
headings.forEach(([level, e], at) => { const before = at ? headings[at - 1][0] : 0; if (level > before + 1) bad.push(`${what(e)} comes behind an h${before}`) });

// Ids.
const ids = new Map();
for (const e of document.querySelectorAll("[id]")) ids.set(e.id, (ids.get(e.id) || 0) + 1);
for (const [id, count] of ids) if (count > 1) bad.push(`#${id} is there ${count} times`);
for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby], [aria-controls]"))
  for (const name of ["aria-describedby", "aria-labelledby", "aria-controls"])
    for (const id of byIds(e, name)) if (!ids.has(id)) bad.push(`${what(e)} refers to #${id}, which is not there`);
for (const e of document.querySelectorAll("label[for]")) if (!ids.has(e.htmlFor)) bad.push(`${what(e)} is for nothing`);

// Targets: 24 px, or far enough from all others (WCAG 2.2, 2.5.8); links within a sentence may be as they are.
const isInSentence = e => {
  if (e.tagName !== "A" || style(e).display !== "inline") return false;
  const words = [...e.parentElement.childNodes].filter(n => n.nodeType === 3 && n.nodeValue.trim().length > 1);
  return words.length > 0;
};
const targets = controls.filter(e => !isUnseen(e)).map(e => {
  const isBox = e.tagName === "INPUT" && /^(checkbox|radio)$/.test(e.type);
  const b = box(isBox && e.closest("label") ? e.closest("label") : e);
  return { e, b, x: b.left + b.width / 2, y: b.top + b.height / 2, isSmall: b.width < 23.9 || b.height < 23.9 };
});
const outside = (t, b) => Math.hypot(Math.max(b.left - t.x, 0, t.x - b.right), Math.max(b.top - t.y, 0, t.y - b.bottom));
// A chart's marks are as small as what they count; the table beside it has the same links.
for (const t of targets.filter(t => t.isSmall && !isInSentence(t.e) && !t.e.closest("svg.ticks"))) {
  // What opens lies over its neighbours, which are out of reach while it is open.
  const near = targets.find(o => o !== t && !o.e.contains(t.e) && !t.e.contains(o.e) && o.e.closest("details > :not(summary)") === t.e.closest("details > :not(summary)") && (o.isSmall ? Math.hypot(o.x - t.x, o.y - t.y) < 24 : outside(t, o.b) < 12));
  if (near) bad.push(`${what(t.e)} is ${Math.round(t.b.width)} × ${Math.round(t.b.height)} px, and ${what(near.e)} is next to it`);
}

// Contrast, of every text against what is really behind it.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const known = new Map();
const colour = css => {
  if (!known.has(css)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = "#000"; canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    known.set(css, [r, g, b, a / 255]);
  }
  return known.get(css);
};
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
const behind = e => {
  const layers = [];
  for (const at of ancestors(e)) { const c = colour(style(at).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] > 0.999) break }
  if (!layers.length || layers[layers.length - 1][3] < 0.999) { bad.push(`nothing is behind ${what(e)}`); return [255, 255, 255, 1] }
  return layers.reduceRight((below, layer) => over(layer, below));
};
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
const ratio = (one, other) => { const [a, b] = [light(one), light(other)].sort((a, b) => b - a); return (a + 0.05) / (b + 0.05) };
const contrast = (e, css, least, kind) => {
  const back = behind(e), [r, g, b, a] = colour(css);
  const opacity = [...ancestors(e)].reduce((all, at) => all * +style(at).opacity, 1);
  const found = ratio(over([r, g, b, a * opacity], back), back);
  if (found < least - 0.01) bad.push(`${kind} of ${what(e)} has a contrast of ${found.toFixed(2)} in place of ${least}`);
};
const least = s => parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && +s.fontWeight >= 700) ? 3 : 4.5;
let looked = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const e = node.parentElement;
  if (!node.nodeValue.trim() || !isShown(e) || isUnseen(e) || e.closest("[hidden], script, style, option")) continue;
  looked++;
  const s = style(e);
  contrast(e, e.closest("svg") ? s.fill : s.color, least(s), "the text");
}
for (const e of document.querySelectorAll("input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea")) {
  if (!isShown(e)) continue;
  contrast(e, style(e).color, 4.5, "what is typed");
  if (e.placeholder) contrast(e, getComputedStyle(e, "::placeholder").color, 4.5, "the hint");
  contrast(e.parentElement, style(e).borderTopColor, 3, "the border");
}
if (looked < 5) bad.push(`only ${looked} texts were found`);
return [...new Set(bad)];

// What on a page does not show that it has the focus. A key was pressed before this runs,
// so that the browser shows it at all.
const bad = [];
for (const d of document.querySelectorAll("details")) d.open = true;
const all = [...document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden]), [tabindex='0']")];
let looked = 0;
for (const e of all) {
  const b = e.getBoundingClientRect();
  if (!b.width || !b.height || e.disabled) continue;
  e.focus({ preventScroll: true });
  if (document.activeElement !== e) continue;
  looked++;
  const s = getComputedStyle(e);
  const what = e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + ` "${(e.textContent || "").trim().slice(0, 30)}"`;
  if (!e.matches(":focus-visible")) bad.push(`the browser does not show the focus of ${what}`);
  else if (s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) bad.push(`${what} has an outline of ${s.outlineWidth} ${s.outlineStyle}`);
}
if (looked < 2) bad.push(`only ${looked} things took the focus`);
return bad;

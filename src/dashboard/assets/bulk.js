// Rows that are ticked: how many, and buttons that say so.
(() => {
  const d = document;
  for (const form of d.querySelectorAll("form[data-bulk]")) {
    const boxes = [...d.querySelectorAll("input[type=checkbox]")].filter(box => box.form === form);
    const rows = boxes.filter(box => box.name === "pick"), all = boxes.find(box => box.name === "all");
    const count = form.querySelector("[data-count]"), every = form.querySelector("[data-every]");
    const say = () => {
      const n = rows.filter(box => box.checked).length, whole = all && all.checked;
      count.textContent = whole ? "all matching" : n + " selected";
      for (const button of form.querySelectorAll("[data-verb]")) {
        const [verb, one, many] = button.dataset.verb.split("|");
        button.textContent = verb + " " + (whole ? "all matching " + many : n + " " + (n === 1 ? one : many));
        button.disabled = !n && !whole;
      }
    };
    if (every) {
      every.hidden = !rows.length;
      every.addEventListener("click", () => { const on = rows.some(box => !box.checked); for (const box of rows) box.checked = on; say() });
    }
    d.addEventListener("change", event => { if (event.target.form === form) say() });
    say();
  }
})();

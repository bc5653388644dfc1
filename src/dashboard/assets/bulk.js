// Rows that are ticked: how many, and buttons that say so.
(() => {
  const d = document;
  for (const form of d.querySelectorAll("form[data-bulk]")) {
    // Asked anew each time: live parts of a page may have changed its rows.
    const fields = name => [...form.elements].filter(field => field.name === name);
    const [one, many] = form.dataset.bulk.split("|"), every = form.querySelector("[data-every]");
    const say = () => {
      const rows = fields("pick"), n = rows.filter(box => box.checked).length, whole = fields("all").some(box => box.checked);
      form.querySelector("[data-count]").textContent = (whole ? "all matching" : n) + " selected";
      every.textContent = n && n === rows.length ? "Select none" : "Select all of this page";
      for (const button of form.querySelectorAll("[data-verb]")) {
        // What opens a page first says so.
        const what = whole ? "all matching " + many + "…" : n + " " + (n === 1 ? one : many);
        button.textContent = button.dataset.verb + " " + what;
        button.disabled = !n && !whole;
      }
    };
    every.addEventListener("click", event => {
      const rows = fields("pick"), on = rows.some(box => !box.checked);
      for (const box of rows) box.checked = on;
      event.preventDefault();
      say();
    });
    d.addEventListener("change", event => { if (event.target.form === form) say() });
    // Whoever comes back finds ticks as they were.
    addEventListener("pageshow", say);
    say();
  }
})();

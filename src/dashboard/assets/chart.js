// The overview's chart: what #chart says, drawn by uPlot, and drawn anew when it says
// something else, the theme is another one, or there is more room or less.
(() => {
  const d = document, told = d.getElementById("chart"), plot = d.getElementById("plot");
  if (!told || !plot || !window.uPlot) return;
  const probe = plot.appendChild(d.createElement("i"));
  const colour = name => { probe.style.color = "var(--" + name + ")"; return getComputedStyle(probe).color };
  const read = () => {
    const [head, ...rows] = told.dataset.chart.split("|"), [from, step] = head.split(" ").map(Number);
    const [up, down, wait] = rows.map(row => row.split(",").map(text => text === "" ? null : +text));
    const marks = (told.dataset.marks || "").split(",").filter(Boolean).map(Number);
    return { step, marks, data: [up.map((_, at) => from + at * step), up, down.map(n => -n), wait] };
  };
  let now = read(), plots = [];
  const room = () => Math.max(240, plot.clientWidth);
  const stamp = at => new Date(at * 1e3).toISOString().slice(0, 16).replace("T", " ");
  // Over days the day; or else the time, with the day where it begins.
  const dated = (at, place, all) => {
    const day = stamp(at).slice(5, 10), time = stamp(at).slice(11);
    return now.data[0].length * now.step > 9e4 ? day : place && stamp(all[place - 1]).slice(5, 10) === day ? time : time + "\n" + day;
  };
  // A stretch between two of which nothing is known has no line: it is a point.
  const alone = u => u.data[1].flatMap((n, at, all) => n !== null && all[at - 1] == null && all[at + 1] == null ? [at] : []);
  const whole = n => n === null || n === undefined ? "—" : String(Math.abs(n));
  const marked = { hooks: { draw: u => {
    const { ctx, bbox } = u;
    ctx.save(); ctx.strokeStyle = colour("held"); ctx.setLineDash([4, 4]); ctx.beginPath();
    for (const at of now.marks) { const x = u.valToPos(at, "x", true); if (x >= bbox.left && x <= bbox.left + bbox.width) { ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height) } }
    ctx.stroke(); ctx.restore();
  } } };
  const axis = more => ({ stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui", ...more });
  const bars = uPlot.paths.bars({ size: [0.8, 40], align: 1 });
  const series = (label, name, more) => ({ label, stroke: colour(name), fill: colour(name), width: 0, points: { show: false }, value: (u, n) => whole(n), ...more });
  const options = (height, lines, more) => ({
    width: room(), height, plugins: [marked], cursor: { sync: { key: "overview" }, drag: { x: false, y: false }, points: { show: false } },
    tzDate: at => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
    scales: { x: { range: (u, first, last) => [first, last + now.step] }, y: { range: (u, low, high) => [Math.min(0, low || 0), Math.max(1, high || 0)] } },
    axes: [axis({ values: (u, all) => all.map(dated) }), axis({ size: 52, values: (u, all) => all.map(n => n % 1 ? "" : whole(n)) })], series: [{ label: "from", value: (u, at) => at ? stamp(at) + " UTC" : "—" }, ...lines], ...more,
  });
  const draw = () => {
    for (const old of plots) old.destroy();
    const [times, up, down, wait] = now.data;
    plots = [new uPlot(options(220, [series("delivered", "delivered", { paths: bars }), series("failed attempts", "exhausted", { paths: bars })]), [times, up, down], plot)];
    if (wait.some(n => n !== null)) plots.push(new uPlot(options(150, [series("waiting", "pending", { width: 1.5, fill: colour("pending-t"), paths: uPlot.paths.stepped({ align: 1 }), points: { show: false, size: 6, fill: colour("pending"), filter: alone } })]), [times, wait], plot));
  };
  plot.hidden = false;
  draw();
  let width = room();
  new ResizeObserver(() => { if (room() !== width) { width = room(); for (const u of plots) u.setSize({ width, height: u.height }) } }).observe(plot);
  const renew = () => {
    const before = now.step; now = read();
    if (before !== now.step) return draw();
    const [times, up, down, wait] = now.data;
    plots[0].setData([times, up, down]); if (plots[1]) plots[1].setData([times, wait]);
  };
  new MutationObserver(renew).observe(told, { attributes: true, attributeFilter: ["data-chart", "data-marks"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();

// Curves: every element with data-chart names an address that gives {x, series: [{name, y, colour, dash}], unit_x, unit_y};
// colour and dash are places in the lists below, where a series wants the look of another.
// One with data-follows is drawn again when the element of that id, which htmx replaces, has another data-drawn.
"use strict";
const COLOURS = ["#0b7fab", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#8a6fdf", "#7f8c8d"];
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
const HEIGHT = 260;

function themed(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function shown(data, width) {
  const axis = (label) => ({ label, stroke: themed("--quiet"), grid: { stroke: themed("--line-soft"), width: 1 }, ticks: { stroke: themed("--line"), width: 1 } });
  return {
    width, height: HEIGHT, legend: { live: false },
    scales: { x: { time: Boolean(data.time) } },
    axes: [axis(data.unit_x), axis(data.unit_y)],
    series: [{ label: data.unit_x }, ...data.series.map((one, i) => ({
      label: one.name, stroke: COLOURS[(one.colour ?? i) % COLOURS.length], width: 2, dash: DASHES[(one.dash ?? Math.floor(i / COLOURS.length)) % 4], spanGaps: true,
      points: { show: data.x.length < 40, size: 5 },
    }))],
  };
}

async function draw(box) {
  const answer = await fetch(box.dataset.chart, { headers: { Accept: "application/json", "X-Follows": "1" }, credentials: "same-origin" });
  if (!answer.ok) return;
  const data = await answer.json();
  if (!data.x.length) return;
  box.closest("section").hidden = false;
  const width = () => Math.max(240, box.clientWidth);
  if (box.plot) { box.resized.disconnect(); box.plot.destroy(); }
  box.replaceChildren();
  box.plot = new uPlot(shown(data, width()), [data.x, ...data.series.map((one) => one.y)], box);
  box.resized = new ResizeObserver(() => box.plot.setSize({ width: width(), height: HEIGHT }));
  box.resized.observe(box);
}

// One drawing at a time; what changed meanwhile is drawn after it.
async function follow(box) {
  const told = document.getElementById(box.dataset.follows);
  if (!told || box.busy || box.drawn === told.dataset.drawn) return;
  box.busy = true;
  box.drawn = told.dataset.drawn;
  try { await draw(box); } finally { box.busy = false; }
  follow(box);
}

for (const box of document.querySelectorAll("[data-chart]")) {
  if (!box.dataset.follows) { draw(box); continue; }
  follow(box);
  document.addEventListener("htmx:afterSettle", () => follow(box));
}

// Curves: every element with data-chart names an address that gives {x, series: [{name, y}], unit_x, unit_y}.
"use strict";
const COLOURS = ["#0b7fab", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#8a6fdf", "#7f8c8d"];

function themed(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

async function draw(box) {
  const answer = await fetch(box.dataset.chart, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (!answer.ok) return;
  const data = await answer.json();
  if (!data.x.length) return;
  const width = () => Math.max(240, box.clientWidth);
  const axis = (label) => ({ label, stroke: themed("--quiet"), grid: { stroke: themed("--line-soft"), width: 1 }, ticks: { stroke: themed("--line"), width: 1 } });
  const dashes = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
  const options = {
    width: width(), height: 260, legend: { live: false },
    scales: { x: { time: Boolean(data.time) } },
    axes: [axis(data.unit_x), axis(data.unit_y)],
    series: [{ label: data.unit_x }, ...data.series.map((one, i) => ({
      label: one.name, stroke: COLOURS[i % COLOURS.length], width: 2, dash: dashes[Math.floor(i / COLOURS.length) % 4], spanGaps: true,
      points: { show: data.x.length < 40, size: 5 },
    }))],
  };
  box.replaceChildren();
  const plot = new uPlot(options, [data.x, ...data.series.map((one) => one.y)], box);
  new ResizeObserver(() => plot.setSize({ width: width(), height: 260 })).observe(box);
}

for (const box of document.querySelectorAll("[data-chart]")) draw(box);

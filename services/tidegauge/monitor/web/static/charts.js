// Draws each chart with uPlot over its SVG: one cursor for all, with the value and the time.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const HEIGHT = 170;

  function extras(normal, marks) {
    return (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      if (normal) {
        const [bottom, top] = normal.map((value) =>
          Math.min(bbox.top + bbox.height, Math.max(bbox.top, u.valToPos(value, "y", true))));
        ctx.globalAlpha = 0.45;
        ctx.fillStyle = colour("--band");
        ctx.fillRect(bbox.left, top, bbox.width, Math.max(1, bottom - top));
        ctx.globalAlpha = 1;
      }
      const strokes = { onset: "--warn", alarm: "--critical", swap: "--ok" };
      ctx.setLineDash([6, 4]);
      ctx.lineWidth = 2;
      for (const [moment, , kind] of marks) {
        const x = u.valToPos(moment / 1000, "x", true);
        ctx.strokeStyle = colour(strokes[kind]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    };
  }

  function draw(figure) {
    const svg = figure.querySelector("svg");
    if (!svg || figure.querySelector(".uplot")) return;
    const read = (name) => JSON.parse(figure.dataset[name]);
    const [points, shown, normal, marks, ends, values] =
      ["points", "shown", "normal", "marks", "ends", "values"].map(read);
    const ticks = read("ticks");
    const caption = figure.querySelector("figcaption");
    const title = caption.textContent;
    // Room for "10:15pm" beside the next one: the default crowds what takes twelve hours.
    const axis = { space: 72, stroke: colour("--soft"), grid: { stroke: colour("--track") },
      ticks: { stroke: colour("--track") } };
    const options = {
      width: Math.max(240, figure.clientWidth), height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: "tidegauge" }, y: false },
      scales: { x: { min: ends[0] / 1000, max: ends[1] / 1000 },
        y: { range: values } },
      axes: [axis, { ...axis, space: 30, size: widest, values: (u, found) => found.map((value) => short(value, ticks)) }],
      series: [{}, { stroke: colour("--now"), width: 2, spanGaps: false,
        points: { size: 4, fill: colour("--now") } }],
      hooks: {
        drawClear: [extras(normal, marks)],
        setCursor: [(u) => {
          const n = u.cursor.idx;
          caption.textContent = n == null || shown[n] === undefined ? title
            : `${title}: ${shown[n]} at ${new Date(points[n][0]).toLocaleTimeString()}`;
        }],
      },
    };
    const data = [points.map((p) => p[0] / 1000), points.map((p) => p[1])];
    const box = document.createElement("div");
    svg.after(box);
    svg.style.display = "none";
    const plot = new uPlot(options, data, box);
    new ResizeObserver(() => plot.setSize({ width: Math.max(240, figure.clientWidth), height: HEIGHT }))
      .observe(figure);
  }

  // Room for the longest label, so that none is cut off.
  const widest = (u, labels) => 24 + 7 * Math.max(4, ...(labels ?? []).map((label) => label.length));

  // The unit is that of the server's own labels: percent, dollars, times, or none.
  function short(value, ticks) {
    const label = ticks[ticks.length - 1];
    const number = (x) => x.toLocaleString(undefined, { maximumSignificantDigits: 3 });
    if (label.endsWith("%")) return `${number(100 * value)}%`;
    if (label.includes("$")) return `$${number(value)}`;
    if (/ (ms|s|min|h)( |$)/.test(label)) return value >= 1000 ? `${number(value / 1000)} s` : `${number(value)} ms`;
    return number(value);
  }

  const drawAll = () => document.querySelectorAll("figure.chart[data-points]").forEach(draw);
  drawAll();
  document.addEventListener("renewed", drawAll);
})();

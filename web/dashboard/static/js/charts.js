// Graphs (uPlot) from <figure data-chart> with their data as JSON: {kind, unit, daily, times, series: [{name, tone, values}]}.
(() => {
  const probe = document.createElement("span");
  const graphs = new Map(); // the place -> the graph in it
  const resized = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const graph = graphs.get(target);
      if (graph && contentRect.width) graph.setSize({ width: contentRect.width, height: graph.height });
    }
  });

  // A canvas cannot read var(): ask an element.
  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  function faint(colour) {
    return colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)");
  }

  function short(value, unit) {
    if (value == null) return "–";
    const options = { notation: "compact", maximumFractionDigits: 2 };
    const text = new Intl.NumberFormat("en", unit === "%" ? { maximumFractionDigits: 2 } : options).format(value);
    return unit ? `${text} ${unit}` : text;
  }

  function long(value, unit) {
    if (value == null) return "–";
    return new Intl.NumberFormat("en", { maximumFractionDigits: 2 }).format(value) + (unit ? ` ${unit}` : "");
  }

  // The sums from below: the first series lies at the bottom.
  function piled(series) {
    const sums = [];
    return series.map(({ values }) => values.map((value, at) => (sums[at] = (sums[at] || 0) + (value || 0))));
  }

  function axis(more) {
    const line = colour("line");
    return { stroke: colour("muted"), font: `11px ${getComputedStyle(document.body).fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { show: false }, ...more };
  }

  // Days are those of UTC, in which they are counted; hours those of the viewer.
  const zone = (data) => (data.daily ? "UTC" : undefined);

  // Two hours and less apart: the hour; else the day.
  function moments(data, splits, step) {
    const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
    const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: zone(data) });
    if (data.daily) return splits.map((time) => day.format(new Date(time * 1000)));
    return splits.map((time) => {
      const date = new Date(time * 1000);
      return step >= 86400 || (date.getHours() === 0 && date.getMinutes() === 0) ? day.format(date) : hour.format(date);
    });
  }

  function tip(data) {
    const box = document.createElement("div");
    const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: data.daily ? undefined : "short", timeZone: zone(data) });
    box.className = "tip";
    box.hidden = true;

    function line({ name, tone, values }, at) {
      const span = document.createElement("span");
      const swatch = document.createElement("i");
      const value = document.createElement("em");
      swatch.className = `swatch ${tone}`;
      value.textContent = long(values[at], data.unit);
      span.append(swatch, name, value);
      return span;
    }

    function move(graph) {
      const at = graph.cursor.idx;
      box.hidden = at == null || graph.cursor.left < 0;
      if (box.hidden) return;
      const title = document.createElement("b");
      title.textContent = when.format(new Date(data.times[at] * 1000));
      box.replaceChildren(title, ...data.series.map((series) => line(series, at)));
      const left = graph.valToPos(data.times[at], "x") + graph.over.offsetLeft;
      const right = left + box.offsetWidth + 24 > graph.width;
      box.style.transform = `translate(${right ? Math.max(0, left - box.offsetWidth - 12) : left + 12}px, 4px)`;
    }

    return { hooks: { init: (graph) => graph.root.append(box), setCursor: move } };
  }

  // A value between gaps has no line: it is shown as a point.
  function alone(values) {
    return values.flatMap((value, at) => (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));
  }

  function options(place, data) {
    const bars = data.kind !== "line";
    const series = data.series.map(({ name, tone }) => {
      const stroke = colour(tone.startsWith("tone-") ? `chart-${tone.slice(5)}` : `chart-${tone}`);
      const paths = bars ? uPlot.paths.bars({ size: [0.72, 28], radius: data.kind === "stacked" ? 0 : 0.15 }) : uPlot.paths.spline();
      return { label: name, stroke, width: bars ? 0 : 1.75, fill: bars ? stroke : data.series.length === 1 ? faint(stroke) : undefined, points: { show: !bars, size: 5, fill: stroke, filter: (graph, at) => alone(graph.data[at]) }, paths };
    });
    // The highest pile is drawn first, the lower ones over it.
    if (data.kind === "stacked") series.reverse();
    return {
      width: place.clientWidth,
      height: place.clientHeight || 208,
      padding: [8, 16, 0, 0],
      legend: { show: false },
      tzDate: (time) => (data.daily ? uPlot.tzDate(new Date(time * 1000), "UTC") : new Date(time * 1000)),
      cursor: { y: false, points: { show: !bars, size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (_, low, high) => bars ? margins(data.times, low, high) : [low, high] }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [axis({ values: (_graph, splits, _axis, _space, step) => moments(data, splits, step), ...(data.daily && { incrs: days }), grid: { show: false }, size: 28, space: 64 }), axis({ size: 52, space: 36, ...(bars && !data.unit && { incrs: whole }), values: (_, splits) => splits.map((value) => short(value, data.unit)) })],
      series: [{}, ...series],
      plugins: [tip(data)],
    };
  }

  // Mails are whole: no lines between them.
  const whole = [1, 2, 5].flatMap((digit) => [...Array(12).keys()].map((zeros) => digit * 10 ** zeros)).sort((a, b) => a - b);

  const days = [1, 2, 3, 5, 7, 14, 30, 60, 90, 180].map((days) => days * 86400);

  // Half a bar of room at both ends.
  function margins(times, low, high) {
    const step = times.length > 1 ? times[1] - times[0] : 86400;
    return [low - step / 2, high + step / 2];
  }

  function draw(figure) {
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const place = figure.querySelector(".plot");
    graphs.get(place)?.destroy();
    place.replaceChildren();
    place.append(probe);
    const values = data.kind === "stacked" ? piled(data.series).reverse() : data.series.map(({ values }) => values);
    const graph = new uPlot(options(place, data), [data.times, ...values], place);
    probe.remove();
    graphs.set(place, graph);
    resized.observe(place);
  }

  function drawAll(piece) {
    for (const [place, graph] of graphs) {
      if (place.isConnected) continue;
      graph.destroy();
      graphs.delete(place);
      resized.unobserve(place);
    }
    flute.all(piece, "[data-chart]").forEach(draw);
  }

  flute.whenShown(drawAll);
  const again = () => drawAll(document.body);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
})();

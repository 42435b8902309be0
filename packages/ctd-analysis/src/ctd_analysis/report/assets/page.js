"use strict";
(() => {
  const data = JSON.parse(document.getElementById("payload").textContent);
  const TRUTH = "truth";
  const MAX_SCENES = 8; // browsers keep about sixteen WebGL contexts alive
  const byLabel = new Map(data.models.map((model) => [model.label, model]));
  const shown = new Set([TRUTH, ...data.models.filter((model) => model.shown).map((model) => model.label)]);
  const narrow = matchMedia("(max-width: 40rem)");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // ---------------------------------------------------------------- helpers

  // Plotly reads a little HTML in its texts; a name from a file is never meant as such.
  const literal = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\n/g, "<br>");

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const colorOf = (source) => css(source === TRUTH ? "--truth" : `--model-${byLabel.get(source).color}`);
  const dashOf = (source) => (source === TRUTH ? "solid" : byLabel.get(source).dash);

  // A colour mixed with the ground: opaque, since overlapping see-through lines in WebGL change their hue.
  const faded = (hex, share) => {
    const parts = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    const ground = parts(css("--ground"));
    return `rgb(${parts(hex).map((value, k) => Math.round(share * value + (1 - share) * ground[k]))})`;
  };

  const ARRAYS = { "<f4": Float32Array, "<u2": Uint16Array };
  const unpacked = new WeakMap();
  function unpack(packed) {
    if (!unpacked.has(packed)) {
      const bytes = Uint8Array.from(atob(packed.data), (character) => character.charCodeAt(0));
      const stored = new ARRAYS[packed.dtype](bytes.buffer);
      unpacked.set(packed, packed.unit === 1 ? stored : Float32Array.from(stored, (value) => value * packed.unit));
    }
    return unpacked.get(packed);
  }

  // One line of a (first, second, third) array along its second axis.
  function line(packed, first, third) {
    const [, length, width] = packed.shape;
    const values = unpack(packed);
    return Array.from({ length }, (_, k) => values[(first * length + k) * width + third]);
  }

  const shortened = (text, length) => literal(text.length > length ? `${text.slice(0, length - 1)}…` : text);

  function make(name, parent, properties = {}) {
    const element = Object.assign(document.createElement(name), properties);
    parent.append(element);
    return element;
  }

  function panel(parent, title, source, note) {
    const box = make("div", parent, { className: "panel" });
    const head = make("h4", box);
    if (source) make("span", head, { className: "swatch" }).style.background = colorOf(source);
    make("span", head, { className: "name", textContent: title, title });
    if (note) make("span", head, { className: "note", textContent: note });
    return make("div", box);
  }

  function clear(parent) {
    for (const plot of parent.querySelectorAll(".js-plotly-plot")) Plotly.purge(plot);
    parent.replaceChildren();
  }

  const axis = (title, more = {}) => ({
    title: { text: title, standoff: 6 },
    color: css("--muted"),
    gridcolor: css("--rule"),
    linecolor: css("--rule"),
    zeroline: false,
    ticks: "",
    automargin: true,
    ...more,
  });

  const layout = (more = {}) => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--text") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 10, t: 6, b: 38 },
    showlegend: false,
    hoverlabel: { bgcolor: css("--ground"), bordercolor: css("--rule"), font: { color: css("--text") } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--text") },
    ...more,
  });

  const config = (buttons, bar) => ({
    responsive: true,
    displayModeBar: bar,
    displaylogo: false,
    modeBarButtons: [buttons],
    toImageButtonOptions: { format: "svg" },
  });
  // On touch screens buttons would lie on the data for good.
  const FLAT = config(["toImage", "zoom2d", "pan2d", "resetScale2d"], matchMedia("(hover: none)").matches ? false : "hover");
  const DEEP = config(["toImage", "resetCameraDefault3d"], true);

  function live(name) {
    const plot = document.getElementById(`plot-${name}`);
    if (!plot) return null;
    plot.classList.add("drawn");
    const holder = plot.querySelector(".live");
    clear(holder);
    return holder;
  }

  function options(name, labels) {
    const select = document.getElementById(name);
    labels.forEach((label, value) => make("option", select, { textContent: label, value: String(value) }));
    return select;
  }

  // ---------------------------------------------------------------- scores

  function drawScores() {
    const holder = live("scores");
    if (!holder) return;
    const names = [...new Set(data.models.map((model) => model.name))];
    for (const metric of data.scores) {
      const color = (name) => css(`--model-${data.models.find((model) => model.name === name).color}`);
      const traces = metric.entries.map((entry) => ({
        type: "scatter",
        mode: "markers",
        x: [entry.value],
        y: [names.indexOf(entry.name)],
        marker: { color: color(entry.name), size: 9 },
        error_x:
          entry.low === null || entry.high === null
            ? { visible: false }
            : { array: [entry.high - entry.value], arrayminus: [entry.value - entry.low], symmetric: false, width: 0, thickness: 2 },
        hovertemplate: "%{x:.4f}<extra></extra>",
      }));
      for (const entry of metric.entries) {
        traces.push({
          type: "scatter",
          mode: "markers",
          x: entry.seeds,
          y: entry.seeds.map(() => names.indexOf(entry.name)),
          marker: { color: faded(color(entry.name), 0.4), size: 5 },
          hovertemplate: "seed: %{x:.4f}<extra></extra>",
        });
      }
      Plotly.newPlot(
        panel(holder, metric.title),
        traces,
        layout({
          height: 36 + 26 * names.length,
          margin: { l: 48, r: 10, t: 4, b: 26 },
          xaxis: axis("", { nticks: 3, tickangle: 0 }),
          yaxis: axis("", {
            range: [names.length - 0.5, -0.5],
            tickvals: names.map((_, row) => row),
            ticktext: names.map((name) => shortened(name, 14)),
            color: css("--text"),
            showgrid: false,
          }),
        }),
        FLAT,
      );
    }
  }

  // ---------------------------------------------------------------- rates and spikes

  const examples = data.examples;
  const sources = () => [TRUTH, ...byLabel.keys()].filter((source) => shown.has(source) && examples.rates[source]);
  const bounded = (packed, trial, neuron) => line(packed, trial, neuron).slice(0, examples.lengths[trial]);

  function drawRates() {
    const holder = live("rates");
    if (!holder) return;
    const trial = Number(document.getElementById("trial").value);
    const group = examples.groups[Number(document.getElementById("neurons").value)];
    for (const neuron of group.neurons) {
      const kind = examples.heldOut[neuron] ? "held out" : "held in";
      const counts = bounded(examples.spikes, trial, neuron);
      const time = examples.time.slice(0, counts.length);
      const lines = sources().map((source) => ({
        type: "scatter",
        mode: "lines",
        name: literal(source),
        x: time,
        y: bounded(examples.rates[source], trial, neuron),
        line: { color: source === TRUTH ? faded(colorOf(source), 0.65) : colorOf(source), width: source === TRUTH ? 4 : 1.6, dash: dashOf(source) },
        hovertemplate: "%{y:.1f}",
      }));
      // Stacked ticks, one per spike, centred in their bin.
      const ticks = { x: [], y: [] };
      counts.forEach((count, k) => {
        if (!count) return;
        ticks.x.push(time[k] + data.binWidth / 2, time[k] + data.binWidth / 2, null);
        ticks.y.push(0, count, null);
      });
      const spikes = {
        type: "scatter",
        mode: "lines",
        name: "spikes",
        ...ticks,
        yaxis: "y2",
        line: { color: css("--text"), width: 1 },
        hoverinfo: "skip",
      };
      Plotly.newPlot(
        panel(holder, `neuron ${examples.neuron[neuron]}`, null, kind),
        [...lines, spikes],
        layout({
          height: 190,
          hovermode: "x unified",
          xaxis: axis("time (s)", { showgrid: false, range: [examples.time[0], examples.time.at(-1) + data.binWidth], anchor: "y2" }),
          yaxis: axis("spikes/s", { domain: [0.17, 1], rangemode: "tozero", nticks: 4 }),
          yaxis2: { domain: [0, 0.11], range: [0, Math.max(1, ...counts)], visible: false, fixedrange: true },
          shapes: forwardBins(),
        }),
        FLAT,
      );
    }
  }

  // Bins that were to be predicted are shaded.
  function forwardBins() {
    const first = examples.forward.indexOf(true);
    if (first < 0) return [];
    const x1 = examples.time.at(-1) + data.binWidth;
    return [{ type: "rect", xref: "x", yref: "paper", x0: examples.time[first], x1, y0: 0, y1: 1, line: { width: 0 }, fillcolor: faded(css("--muted"), 0.12), layer: "below" }];
  }

  // Lowest and highest true rate of each neuron in the example trials; without a truth the first model's.
  function neuronRanges() {
    const reference = examples.rates[TRUTH] || Object.values(examples.rates)[0];
    return examples.neuron.map((_, neuron) => {
      const values = examples.trial.flatMap((_, trial) => bounded(reference, trial, neuron));
      return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    });
  }

  function drawImages() {
    const holder = live("images");
    if (!holder) return;
    const trial = Number(document.getElementById("trial").value);
    const neurons = examples.neuron.map((_, index) => index);
    const order = [...neurons.filter((n) => !examples.heldOut[n]), ...neurons.filter((n) => examples.heldOut[n])];
    const held = order.filter((n) => !examples.heldOut[n]).length;
    const rows = (packed, scale) => order.map((n) => bounded(packed, trial, n).map((value) => value * scale));
    const range = neuronRanges();
    const entries = [["spikes", null, rows(examples.spikes, 1 / data.binWidth)]];
    for (const source of sources()) entries.push([source, source, rows(examples.rates[source], 1)]);
    const ground = css("--ground");
    const scale = [[0, ground], [1, dark.matches ? "#f2f5f7" : "#101418"]];
    for (const [title, source, values] of entries) {
      Plotly.newPlot(
        panel(holder, title, source),
        [
          {
            type: "heatmap",
            x: examples.time.slice(0, values[0].length),
            y: order.map((_, k) => k),
            z: values.map((row, k) => {
              const [low, high] = source ? range[order[k]] : [0, Math.max(...row)];
              return row.map((value) => (value - low) / (high - low || 1));
            }),
            customdata: values,
            text: values.map((row, k) => row.map(() => `neuron ${examples.neuron[order[k]]}`)),
            zmin: 0,
            zmax: 1,
            colorscale: scale,
            showscale: false,
            hovertemplate: "%{text}, %{x:.2f} s: %{customdata:.1f} spikes/s<extra></extra>",
          },
        ],
        layout({
          height: 210,
          xaxis: axis("time (s)", { showgrid: false }),
          yaxis: axis("neuron", { showgrid: false, autorange: "reversed", tickvals: held && held < order.length ? [0, held] : [0], ticktext: held && held < order.length ? ["held in", "held out"] : [held ? "held in" : "held out"] }),
          shapes: held && held < order.length ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: held - 0.5, y1: held - 0.5, line: { color: css("--model-1"), width: 1 } }] : [],
        }),
        FLAT,
      );
    }
  }

  function setUpRates() {
    if (!document.getElementById("trial")) return;
    const redraw = () => {
      drawRates();
      drawImages();
    };
    options("trial", examples.trial.map((id) => String(id))).addEventListener("change", redraw);
    options("neurons", examples.groups.map((group) => group.label)).addEventListener("change", drawRates);
  }

  // ---------------------------------------------------------------- trajectories

  const parts = { trajectories: true, behind: true, points: true, pairs: true };
  const names = { trajectories: "trajectories", behind: "truth behind", points: "fixed points", pairs: "matched pairs" };
  const HOME = { eye: { x: 1.3, y: 1.08, z: 0.72 }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.13 } };
  let camera = HOME;
  let scenes = [];

  const mapped = (source) => Boolean(data.spaces[source].mapped);
  const trajectories = (source) => data.spaces[source].mapped || data.spaces[source].own;
  const places = (source) => {
    const points = data.spaces[source].points;
    return points && (mapped(source) ? points.mapped : points.own);
  };

  function pathTrace(source, color, width) {
    const packed = trajectories(source);
    const trace = { type: "scatter3d", mode: "lines", hoverinfo: "skip", line: { color, width }, connectgaps: false };
    ["x", "y", "z"].forEach((name, component) => {
      trace[name] = [];
      for (let trial = 0; trial < packed.shape[0]; trial++) trace[name].push(...line(packed, trial, component), NaN);
    });
    return trace;
  }

  function pointTraces(source, color, size, reach) {
    const { kind, text } = data.spaces[source].points;
    const all = places(source).map((point, row) => ({ point, kind: data.kinds[kind[row]], text: literal(`${source}, ${text[row]}`) }));
    const fixed = all.filter((entry) => entry.kind.symbol);
    const slow = all.filter((entry) => !entry.kind.symbol);
    const marks = {
      type: "scatter3d",
      mode: "markers",
      x: fixed.map((entry) => entry.point[0]),
      y: fixed.map((entry) => entry.point[1]),
      z: fixed.map((entry) => entry.point[2]),
      marker: { color, size, symbol: fixed.map((entry) => entry.kind.symbol), line: { width: 0 } },
      text: fixed.map((entry) => entry.text),
      hovertemplate: "%{text}<extra></extra>",
    };
    return slow.length ? [marks, starTrace(slow, color, reach)] : [marks];
  }

  // Slow points are small stars of lines: plotly's own cross in 3-D is a glyph that many fonts lack.
  function starTrace(entries, color, reach) {
    const trace = { type: "scatter3d", mode: "lines", line: { color, width: 2 }, x: [], y: [], z: [], text: [], hovertemplate: "%{text}<extra></extra>" };
    for (const { point, text } of entries) {
      for (const along of [0, 1, 2]) {
        for (const sign of [-1, 1]) {
          ["x", "y", "z"].forEach((name, component) => trace[name].push(point[component] + (component === along ? sign * reach : 0)));
        }
        ["x", "y", "z"].forEach((name) => trace[name].push(NaN));
        trace.text.push(text, text, "");
      }
    }
    return trace;
  }

  function pairTrace(source) {
    const trace = { type: "scatter3d", mode: "lines", hoverinfo: "skip", line: { color: css("--text"), width: 3 }, x: [], y: [], z: [] };
    const [truth, model] = [places(TRUTH), places(source)];
    for (const [first, second] of data.matches[source].pairs) {
      ["x", "y", "z"].forEach((name, component) => trace[name].push(truth[first][component], model[second][component], NaN));
    }
    return trace;
  }

  function sceneTraces(source, reach) {
    const inTruth = source !== TRUTH && data.spaces[TRUTH] && mapped(source);
    const traces = [];
    if (parts.behind && inTruth) traces.push(pathTrace(TRUTH, faded(css("--muted"), 0.35), 1.5));
    if (parts.trajectories) traces.push(pathTrace(source, faded(colorOf(source), 0.6), 2));
    if (parts.points && parts.behind && inTruth && places(TRUTH)) traces.push(...pointTraces(TRUTH, colorOf(TRUTH), 4, reach));
    if (parts.points && places(source)) traces.push(...pointTraces(source, colorOf(source), 6, reach));
    if (parts.pairs && inTruth && data.matches[source]) traces.push(pairTrace(source));
    return traces;
  }

  const ends = (values) => {
    const finite = values.filter(Number.isFinite);
    return finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  };

  // Panels in the truth's space share one box, so that positions can be compared by eye.
  function box(source) {
    const all = mapped(source) && data.spaces[TRUTH] ? Object.keys(data.spaces).filter((name) => shown.has(name) && mapped(name)) : [source];
    return [0, 1, 2].map((component) => {
      const values = all.flatMap((name) => {
        const packed = trajectories(name);
        const states = unpack(packed).filter((value, k) => k % 3 === component && Number.isFinite(value)).sort();
        const low = states[Math.floor(0.001 * states.length)];
        const high = states[Math.ceil(0.999 * states.length) - 1];
        return [low, high];
      });
      const [low, high] = ends(values);
      const span = high - low || 1;
      // A point far outside would leave the rest as a dot; it is counted in the panel's head instead.
      const near = all.flatMap((name) => (places(name) || []).map((point) => point[component]));
      const [least, most] = ends([low, high, ...near.filter((value) => value > low - span / 2 && value < high + span / 2)]);
      return [least - 0.04 * span, most + 0.04 * span];
    });
  }

  function drawTrajectories() {
    if (!hasWebGl()) return;
    const holder = live("trajectories");
    if (!holder) return;
    scenes = [];
    const drawn = [TRUTH, ...byLabel.keys()].filter((source) => shown.has(source) && data.spaces[source]);
    for (const source of drawn.slice(0, MAX_SCENES)) {
      const ranges = box(source);
      const spans = ranges.map(([low, high]) => high - low);
      const widest = Math.max(...spans);
      const outside = (places(source) || []).filter((point) => point.some((value, k) => value < ranges[k][0] || value > ranges[k][1]));
      const inTruth = data.spaces[TRUTH] && mapped(source);
      const explained = data.spaces[source].explained.reduce((sum, value) => sum + value, 0);
      const held = `3 PCs hold ${(100 * explained).toFixed(0)} % of variance`;
      const hidden = outside.length ? `, ${outside.length} points outside` : "";
      const note = (source === TRUTH || !inTruth ? held : "in the truth's PCs") + hidden;
      const place = panel(holder, source, source, note);
      place.className = "scene";
      place.tabIndex = 0;
      place.setAttribute("aria-label", `${source} in three dimensions; arrow keys turn, plus and minus zoom`);
      const share = (span) => Math.max(0.3, span / widest);
      const sceneAxis = (component) => ({
        title: { text: "" },
        range: ranges[component],
        color: css("--muted"),
        gridcolor: css("--rule"),
        showbackground: false,
        zeroline: false,
        showspikes: false,
        nticks: 4,
        tickfont: { size: 9 },
      });
      const scene = {
        camera,
        dragmode: "orbit",
        aspectmode: "manual",
        aspectratio: { x: share(spans[0]), y: share(spans[1]), z: share(spans[2]) },
        xaxis: sceneAxis(0),
        yaxis: sceneAxis(1),
        zaxis: sceneAxis(2),
        annotations: axisNames(ranges),
      };
      Plotly.newPlot(place, sceneTraces(source, 0.014 * widest), layout({ margin: { l: 0, r: 0, t: 0, b: 0 }, scene, uirevision: "kept" }), DEEP);
      listen(place);
      scenes.push(place);
    }
    if (drawn.length > MAX_SCENES) {
      make("p", holder, { className: "missing", textContent: `Only the first ${MAX_SCENES} panels are drawn; uncheck some to see the others.` });
    }
  }

  // Plotly hangs titles of 3-D axes far outside; names at the ends of three edges stay in the panel.
  function axisNames(ranges) {
    const corner = { x: ranges[0][0], y: ranges[1][0], z: ranges[2][0] };
    return ["x", "y", "z"].map((name, component) => ({
      ...corner,
      [name]: ranges[component][1],
      text: `PC ${component + 1}`,
      showarrow: false,
      font: { size: 11, color: css("--muted") },
    }));
  }

  function listen(place) {
    const follow = (event) => {
      const moved = event["scene.camera"];
      if (moved) turn(moved, place);
    };
    place.on("plotly_relayouting", follow);
    place.on("plotly_relayout", follow);
    // The wheel scrolls the page unless the panel was clicked, so that a plot never traps the reader.
    let active = false;
    place.addEventListener("pointerdown", () => (active = true));
    place.addEventListener("pointerleave", (event) => event.buttons || (active = false));
    place.addEventListener("wheel", (event) => active || event.stopPropagation(), { capture: true });
    place.addEventListener("keydown", (event) => {
      const turned = keyed(event.key);
      if (!turned) return;
      event.preventDefault();
      turn(turned, null);
    });
  }

  let turning = false;
  function turn(moved, origin) {
    camera = moved;
    if (turning) return;
    turning = true;
    requestAnimationFrame(() => {
      const others = scenes.filter((place) => place !== origin);
      Promise.all(others.map((place) => Plotly.relayout(place, { "scene.camera": camera }))).finally(() => (turning = false));
    });
  }

  // The camera after a key: arrows turn around the middle, plus and minus zoom.
  function keyed(key) {
    const { x, y, z } = camera.eye;
    const [around, up] = [{ ArrowLeft: -0.12, ArrowRight: 0.12 }[key] || 0, { ArrowUp: 0.12, ArrowDown: -0.12 }[key] || 0];
    const zoom = { "+": 0.9, "=": 0.9, "-": 1.1 }[key] || 1;
    if (!around && !up && zoom === 1) return null;
    const radius = Math.hypot(x, y, z) * zoom;
    const azimuth = Math.atan2(y, x) + around;
    const elevation = Math.max(-1.5, Math.min(1.5, Math.asin(z / Math.hypot(x, y, z)) + up));
    const eye = {
      x: radius * Math.cos(elevation) * Math.cos(azimuth),
      y: radius * Math.cos(elevation) * Math.sin(azimuth),
      z: radius * Math.sin(elevation),
    };
    return { ...camera, eye };
  }

  function hasWebGl() {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl"));
  }

  const GLYPHS = {
    circle: '<circle cx="7" cy="7" r="4.5" fill="currentColor"/>',
    "circle-open": '<circle cx="7" cy="7" r="4.5"/>',
    "diamond-open": '<path d="M7 1.5 12.5 7 7 12.5 1.5 7Z"/>',
    "square-open": '<path d="M2.5 2.5h9v9h-9Z"/>',
    "": '<path d="M7 2v10M2.7 4.5l8.6 5M11.3 4.5l-8.6 5"/>',
  };

  function setUpTrajectories() {
    const controls = document.getElementById("trajectory-controls");
    if (!controls) return;
    const hasTruth = Boolean(data.spaces[TRUTH]);
    for (const [part, name] of Object.entries(names)) {
      if (!hasTruth && (part === "behind" || part === "pairs")) continue;
      const label = make("label", controls);
      const input = make("input", label, { type: "checkbox", checked: true, id: `part-${part}` });
      label.append(` ${name}`);
      input.addEventListener("change", () => {
        parts[part] = input.checked;
        drawTrajectories();
      });
    }
    const present = new Set(Object.values(data.spaces).flatMap((space) => (space.points ? space.points.kind : [])));
    data.kinds.forEach((kind, index) => {
      if (!present.has(index)) return;
      const item = make("li", document.getElementById("kinds"));
      item.innerHTML = `<svg viewBox="0 0 14 14" aria-hidden="true">${GLYPHS[kind.symbol]}</svg>`;
      item.append(kind.name);
    });
  }

  // ---------------------------------------------------------------- eigenvalues

  function chosenKinds() {
    const value = Number(document.getElementById("kind").value);
    return (kind) => value === 0 || kind === value - 1;
  }

  function planeTrace(plane, wanted, color, symbol, size, name) {
    const rows = plane.kind.map((_, row) => row).filter(wanted);
    const flat = (values) => rows.flatMap((row) => values[row]);
    return {
      type: "scatter",
      mode: "markers",
      x: flat(plane.re),
      y: flat(plane.im),
      text: rows.flatMap((row) => plane.re[row].map(() => `${name}, pair ${row}: ${data.kinds[plane.kind[row]].name}`)),
      marker: { color, symbol, size, line: { width: 1.3, color } },
      hovertemplate: "%{text}<br>%{x:.3f} %{y:+.3f}i<extra></extra>",
    };
  }

  function drawEigenvalues() {
    const holder = live("eigenvalues");
    if (!holder) return;
    const wantedKind = chosenKinds();
    const drawn = [...byLabel.keys()].filter((label) => shown.has(label) && data.eigenvalues[label]);
    for (const label of drawn) {
      const { truth, model } = data.eigenvalues[label];
      // Pairs are chosen by the truth's kind; without a truth by the model's own.
      const wanted = (row) => wantedKind((truth || model).kind[row]);
      const traces = [planeTrace(model, wanted, colorOf(label), "circle-open", 9, literal(label))];
      if (truth) traces.push(planeTrace(truth, wanted, colorOf(TRUTH), "cross-thin", 7, TRUTH));
      const reach = 1.08 * Math.max(1, ...drawn.flatMap((name) => planeReach(data.eigenvalues[name])));
      Plotly.newPlot(
        panel(holder, label, label),
        traces,
        layout({
          height: 240,
          margin: { l: 40, r: 4, t: 6, b: 38 },
          xaxis: axis("real part, per bin", { range: [-reach, reach], nticks: 5 }),
          yaxis: axis("imaginary part", { range: [-reach, reach], nticks: 5, scaleanchor: "x" }),
          shapes: [{ type: "circle", x0: -1, x1: 1, y0: -1, y1: 1, line: { color: css("--muted"), width: 1 }, layer: "below" }],
        }),
        FLAT,
      );
    }
    drawTimeConstants(holder, drawn.filter((label) => data.eigenvalues[label].truth), wantedKind);
  }

  const planeReach = ({ truth, model }) =>
    [truth, model].filter(Boolean).flatMap((plane) => plane.re.flatMap((row, k) => row.map((re, j) => Math.hypot(re, plane.im[k][j]))));

  function drawTimeConstants(holder, labels, wantedKind) {
    if (!labels.length) return;
    const values = [];
    const traces = labels.map((label) => {
      const { truth, model } = data.eigenvalues[label];
      const rows = truth.tau.map((_, row) => row).filter((row) => wantedKind(truth.kind[row]) && truth.tau[row] && model.tau[row]);
      const x = rows.map((row) => 1e3 * Math.abs(truth.tau[row]));
      const y = rows.map((row) => 1e3 * Math.abs(model.tau[row]));
      values.push(...x, ...y);
      return {
        type: "scatter",
        mode: "markers",
        x,
        y,
        marker: { color: colorOf(label), size: 8, line: { width: 1.3, color: colorOf(label) }, symbol: rows.map((row) => (model.tau[row] > 0 ? "circle" : "circle-open")) },
        text: rows.map((row) => `${literal(label)}, pair ${row}`),
        hovertemplate: "%{text}<br>truth %{x:.3g} ms, model %{y:.3g} ms<extra></extra>",
      };
    });
    if (!values.length) return;
    const range = [Math.log10(Math.min(...values)) - 0.1, Math.log10(Math.max(...values)) + 0.1];
    const ends = range.map((value) => 10 ** value);
    const steps = range[1] - range[0] > 2 ? [1] : [1, 2, 5];
    const tickvals = [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6].flatMap((power) => steps.map((step) => step * 10 ** power));
    const ticks = { tickvals, ticktext: tickvals.map((value) => String(Number(value.toPrecision(2)))) };
    traces.unshift({ type: "scatter", mode: "lines", x: ends, y: ends, line: { color: css("--muted"), width: 1 }, hoverinfo: "skip" });
    Plotly.newPlot(
      panel(holder, "Time constants", null),
      traces,
      layout({
        height: 240,
        margin: { l: 40, r: 4, t: 6, b: 38 },
        xaxis: axis("truth (ms)", { type: "log", range, ...ticks }),
        yaxis: axis("model (ms)", { type: "log", range, ...ticks }),
      }),
      FLAT,
    );
  }

  function setUpEigenvalues() {
    if (!document.getElementById("kind")) return;
    options("kind", ["all", ...data.kinds.map((kind) => kind.name)]).addEventListener("change", drawEigenvalues);
  }

  // ---------------------------------------------------------------- the whole page

  function setUpLegend() {
    const legend = document.getElementById("legend");
    const all = data.models.map((model) => model.label);
    if (data.spaces[TRUTH] || examples.rates[TRUTH]) all.unshift(TRUTH);
    for (const source of all) {
      const label = make("label", legend);
      const input = make("input", label, { type: "checkbox", checked: shown.has(source) });
      make("span", label, { className: "key" }).style.borderColor = source === TRUTH ? "var(--truth)" : `var(--model-${byLabel.get(source).color})`;
      label.append(source);
      label.classList.toggle("off", !input.checked);
      input.addEventListener("change", () => {
        if (input.checked) shown.add(source);
        else shown.delete(source);
        label.classList.toggle("off", !input.checked);
        draw([drawRates, drawImages, drawTrajectories, drawEigenvalues]);
      });
    }
  }

  // One plot after the other, so that the page stays responsive and the first ones are there at once.
  let pass = 0;
  async function draw(steps) {
    const own = ++pass;
    document.documentElement.dataset.drawn = "";
    for (const step of steps) {
      await new Promise((resolve) => setTimeout(resolve));
      if (own !== pass) return;
      step();
    }
    document.documentElement.dataset.drawn = "all";
  }

  const ALL = [drawScores, drawRates, drawImages, drawTrajectories, drawEigenvalues];
  setUpLegend();
  setUpRates();
  setUpTrajectories();
  setUpEigenvalues();
  dark.addEventListener("change", () => draw(ALL));
  narrow.addEventListener("change", () => draw(ALL));
  draw(ALL);
})();

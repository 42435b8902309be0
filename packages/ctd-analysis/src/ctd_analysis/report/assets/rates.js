// Rates and spikes of one trial: traces of a few neurons, images of all.

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

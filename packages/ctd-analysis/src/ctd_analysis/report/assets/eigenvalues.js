// Eigenvalues against the unit circle, and time constants.

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

// Scores with intervals, a panel per metric.

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

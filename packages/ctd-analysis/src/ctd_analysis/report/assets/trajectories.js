// Trajectories and fixed points in three dimensions; all panels turn together.

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

// What all plots share: the data, colours, texts and panels.

const data = JSON.parse(document.getElementById("payload").textContent);
const TRUTH = "truth";
const MAX_SCENES = 8; // browsers keep about sixteen WebGL contexts alive
const byLabel = new Map(data.models.map((model) => [model.label, model]));
const shown = new Set([TRUTH, ...data.models.filter((model) => model.shown).map((model) => model.label)]);
const narrow = matchMedia("(max-width: 40rem)");
const dark = matchMedia("(prefers-color-scheme: dark)");

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

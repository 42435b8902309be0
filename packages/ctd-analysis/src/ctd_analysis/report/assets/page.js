// The legend that shows and hides models, and the order of drawing.

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

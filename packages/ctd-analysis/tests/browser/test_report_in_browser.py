"""The report in a real browser: it draws everything, needs no network, and answers to a reader."""

import io
import time

import numpy as np
import pytest
from matplotlib.image import imread

from ctd_analysis.report import write_report
from ctd_analysis.results import TRUTH
from ctd_analysis.testing import ToyModel, make_result

pytestmark = pytest.mark.browser

HOSTILE = (
    ToyModel("<img src=x onerror=alert(1)>", 0.9),
    ToyModel("</script><script>alert(2)</script>", 0.8),
    ToyModel('<a href="https://evil.example">%{x}</a>', 0.7),
)
OPAQUE, RATES_ALONE = ToyModel("a", 0.9, opaque=True), ToyModel("b", 0.8, states=False)
CAMERAS = """[...document.querySelectorAll("#plot-trajectories .js-plotly-plot")]
    .map((plot) => Object.values(plot._fullLayout.scene._scene.getCamera().eye))"""


@pytest.fixture(scope="session")
def result():
    return make_result()


@pytest.fixture(scope="session")
def page(result, tmp_path_factory):
    return write_report(result, tmp_path_factory.mktemp("report"))


def count(browser, selector):
    return browser.evaluate(f"document.querySelectorAll({selector!r}).length")


def visible(browser, selector):
    return browser.evaluate(
        f"[...document.querySelectorAll({selector!r})].filter((e) => e.offsetHeight > 0).length"
    )


def center(browser, selector):
    """Scroll to an element and return the middle of it in the window."""
    return browser.evaluate(
        f"""(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: "center"}});
        const box = e.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
    )


def choose(browser, name, value):
    """Choose an option as a reader does and wait for the plots."""
    browser.evaluate(
        f"""(() => {{ const e = document.getElementById({name!r}); e.value = {str(value)!r};
        e.dispatchEvent(new Event("change", {{bubbles: true}})); }})()"""
    )
    settled(browser)


def settled(browser):
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 30))")
    browser.wait("document.documentElement.dataset.drawn === 'all'")


def drawn_pixels(browser, selector):
    """Share of the pixels of an element that differ from its commonest colour."""
    center(browser, selector)
    clip = browser.evaluate(
        f"""(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect();
        return {{x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height}}; }})()"""
    )
    pixels = imread(io.BytesIO(browser.capture(clip)))[..., :3]
    colours, counts = np.unique((255 * pixels).astype(int).reshape(-1, 3), axis=0, return_counts=True)
    return 1.0 - counts.max() / counts.sum(), len(colours)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_page_draws_everything_without_a_word_or_a_request(browser, page, result, width, dark):
    browser.open(page, width=width, dark=dark)

    assert browser.complaints() == []
    assert browser.requests() == []
    assert count(browser, "#plot-scores .main-svg") >= 5
    assert count(browser, "#plot-rates .js-plotly-plot") == 6
    assert count(browser, "#plot-images .js-plotly-plot") == 6
    assert count(browser, "#plot-eigenvalues .js-plotly-plot") == len(result.models) + 1
    assert count(browser, "#plot-trajectories canvas") == len(result.spaces)
    assert visible(browser, ".static") == 0
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    share, colours = drawn_pixels(browser, "#plot-trajectories .scene")
    assert share > 0.02
    assert colours > 50


def test_dark_page_is_dark_and_its_plots_can_be_read(browser, page):
    def luminance(colour):
        return np.dot([0.299, 0.587, 0.114], [float(c) for c in colour.strip("rgba()").split(",")[:3]])

    text = "getComputedStyle(document.querySelector('#plot-rates .xtick text')).fill"
    ground = "getComputedStyle(document.body).backgroundColor"
    for dark in (False, True):
        browser.open(page, dark=dark)
        back, front = (luminance(browser.evaluate(expression)) for expression in (ground, text))
        assert (back < 60) == dark
        assert abs(front - back) > 90


def test_dragging_one_scene_turns_all(browser, page):
    browser.open(page)
    before = np.array(browser.evaluate(CAMERAS))
    x, y = center(browser, "#plot-trajectories .scene canvas")
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    for step in range(1, 6):
        browser.mouse("mouseMoved", x + 12 * step, y + 5 * step, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 60, y + 25, button="left", clickCount=1)
    time.sleep(1.0)

    after = np.array(browser.evaluate(CAMERAS))
    assert np.linalg.norm(after[0] - before[0]) > 0.1
    np.testing.assert_allclose(after, np.broadcast_to(after[0], after.shape), atol=1e-6)


def test_wheel_scrolls_the_page_until_a_scene_is_clicked(browser, page):
    browser.open(page)
    x, y = center(browser, "#plot-trajectories .scene canvas")
    at, eye = browser.evaluate("scrollY"), browser.evaluate(CAMERAS)[0]
    browser.mouse("mouseMoved", x, y)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    browser.wait(f"scrollY > {at}")
    assert browser.evaluate(CAMERAS)[0] == eye

    x, y = center(browser, "#plot-trajectories .scene canvas")
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseReleased", x, y, button="left", clickCount=1)
    at = browser.evaluate("scrollY")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=240)
    time.sleep(1.0)
    assert np.linalg.norm(browser.evaluate(CAMERAS)[0]) > 1.05 * np.linalg.norm(eye)
    assert browser.evaluate("scrollY") == at


def test_keyboard_turns_and_zooms(browser, page):
    browser.open(page)
    before = np.array(browser.evaluate(CAMERAS)[0])
    browser.evaluate("document.querySelector('#plot-trajectories .scene').focus()")
    for key in ("ArrowLeft", "-"):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        time.sleep(0.6)
    after = np.array(browser.evaluate(CAMERAS))

    assert np.linalg.norm(after[1]) == pytest.approx(1.1 * np.linalg.norm(before), rel=1e-3)
    turned = np.arctan2(after[1][1], after[1][0]) - np.arctan2(before[1], before[0])
    assert turned == pytest.approx(-0.12, abs=1e-3)


def test_trial_and_neurons_can_be_chosen(browser, page, result):
    browser.open(page)
    lines = """(() => { const plot = document.querySelector("#plot-rates .js-plotly-plot");
        return plot.data.map((trace) => [trace.name, Array.from(trace.y)]); })()"""
    choose(browser, "neurons", 3)
    choose(browser, "trial", 1)
    drawn = dict(browser.evaluate(lines))
    first = int(browser.evaluate("document.querySelector('#plot-rates h4 .name').textContent.slice(7)"))

    length = result.examples.lengths[1]
    assert first == 12
    assert length < len(result.examples.time_s)
    truth = result.examples.true_rates[1, :length, first]
    np.testing.assert_allclose(drawn[TRUTH], truth, atol=result.examples.true_rates.max() / 65535)
    model = result.examples.rates["LDS"][1, :length, first]
    np.testing.assert_allclose(drawn["LDS"], model, atol=result.examples.rates["LDS"].max() / 65535)


def test_models_can_be_hidden_everywhere(browser, page, result):
    browser.open(page)
    browser.evaluate(
        "[...document.querySelectorAll('#legend label')].find((e) => e.textContent === 'RNN').click()"
    )
    settled(browser)

    assert count(browser, "#plot-trajectories .scene") == len(result.spaces) - 1
    assert count(browser, "#plot-eigenvalues .js-plotly-plot") == len(result.models)
    names = browser.evaluate("document.querySelector('#plot-rates .js-plotly-plot').data.map((t) => t.name)")
    assert "RNN" not in names
    assert "GRU" in names
    assert browser.complaints() == []


def test_points_are_where_the_result_has_them(browser, page, result):
    browser.open(page)
    traces = browser.evaluate(
        """[...document.querySelectorAll("#plot-trajectories .js-plotly-plot")].map((plot) =>
        plot.data.filter((trace) => trace.mode === "markers")
        .map((trace) => [Array.from(trace.x), Array.from(trace.marker.symbol)]))"""
    )
    x, symbols = traces[0][0]
    points = result.spaces[TRUTH].points
    np.testing.assert_allclose(x, points.state[:, 0], atol=1e-5)
    assert [symbol == "circle" for symbol in symbols] == points.stable.tolist()


def test_eigenvalues_can_be_chosen_by_kind(browser, page, result):
    browser.open(page)
    choose(browser, "kind", 1)  # stable ones
    drawn = browser.evaluate(
        "Array.from(document.querySelector('#plot-eigenvalues .js-plotly-plot').data[1].x)"
    )
    points = result.spaces[TRUTH].points

    np.testing.assert_allclose(
        np.sort(drawn), np.sort(points.eigenvalues[points.stable].real.ravel()), atol=1e-5
    )


def test_names_from_a_file_never_become_markup(browser, tmp_path):
    path = write_report(make_result(HOSTILE, dataset="<b onclick=alert(3)>&"), tmp_path)
    browser.open(path)

    assert not [event for event in browser.events if event.get("method") == "Page.javascriptDialogOpening"]
    assert browser.complaints() == []
    assert browser.requests() == []
    assert count(browser, "img[onerror], a[href^=http], h1 b") == 0
    assert count(browser, "script") == 3
    shown = browser.evaluate("[...document.querySelectorAll('#legend label')].map((e) => e.textContent)")
    assert shown == [TRUTH, *[model.name for model in HOSTILE]]


def test_policy_stops_foreign_scripts(browser, page):
    browser.open(page)
    browser.evaluate(
        """document.body.append(Object.assign(document.createElement("script"),
        {textContent: "window.foreign = 1"}))"""
    )

    assert browser.evaluate("window.foreign === undefined")


def test_pictures_stand_in_without_scripts(browser, page):
    browser.open(page, scripts=False)

    assert visible(browser, ".static") == 4
    assert browser.evaluate(
        "[...document.querySelectorAll('.static')].every((image) => image.naturalWidth > 400)"
    )


def test_pictures_stand_in_without_webgl(browser, page):
    added = browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
          return kind.includes("webgl") ? null : real.call(this, kind, ...more); };""",
    )
    browser.open(page)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])

    assert visible(browser, "#plot-trajectories .static") == 1
    assert visible(browser, "#plot-rates .js-plotly-plot") == 6


def test_paper_gets_pictures(browser, page):
    browser.open(page, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")

    assert visible(browser, ".static") == 4
    assert visible(browser, ".live, #legend, .controls, nav") == 0
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(make_result(truth=False), id="no truth"),
        pytest.param(make_result((ToyModel("one", 0.9),), n_time=7), id="single model, short trials"),
        pytest.param(make_result((OPAQUE, RATES_ALONE)), id="opaque"),
        pytest.param(make_result((RATES_ALONE,), truth=False), id="rates alone"),
    ],
)
def test_incomplete_results_draw_what_there_is(browser, result, tmp_path):
    browser.open(write_report(result, tmp_path))

    assert browser.complaints() == []
    assert count(browser, "#plot-rates .js-plotly-plot") == 6
    assert count(browser, "#plot-trajectories .scene") == len(result.spaces)


def test_one_seed_of_each_model_is_shown_at_first(browser, tmp_path):
    result = make_result(n_seeds=3)
    browser.open(write_report(result, tmp_path))

    assert browser.complaints() == []
    assert count(browser, "#legend label") == len(result.models) + 1
    assert count(browser, "#plot-trajectories .scene") == len(result.models) // 3 + 1

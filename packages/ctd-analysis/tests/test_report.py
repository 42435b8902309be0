"""The report page as text: complete, self-contained, true to the numbers, and safe against its own names."""

import base64
import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

import ctd_analysis.report.write as write
from ctd_analysis.report import write_report
from ctd_analysis.report.payload import make_payload
from ctd_analysis.report.verdict import verdict
from ctd_analysis.results import TRUTH, MetricRow
from ctd_analysis.testing import ToyModel, make_result

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&$\\frac"
OPAQUE, RATES_ALONE = ToyModel("closed", 0.9, opaque=True), ToyModel("rates", 0.8, states=False)


class Page(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.scripts = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data + " "

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def has(self, sentence):
        return sentence in re.sub(r"\s+", " ", self.text)


def make_page(folder, result):
    """The page alone: its pictures are drawn, but not rendered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "save", lambda figure, folder, name: b"")
        return Page(write_report(result, folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def result():
    return make_result()


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(result, folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def unpack(packed):
    flat = np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])
    return flat.reshape(packed["shape"]) * packed["unit"]


def test_page_refers_to_nothing_outside_itself(page, folder):
    addresses = [a[key] for _, a in page.elements for key in ("src", "href", "action", "data") if key in a]

    assert len(addresses) > 10
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not page.all("link")
    assert not page.all("iframe")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in re.search(r"<style>.*?</style>", text, re.S).group()
    assert len(text) < 8e6


def test_links_inside_the_page_lead_somewhere(page):
    identities = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}

    assert targets
    assert targets <= identities


def test_figures_lie_beside_the_page(folder):
    names = {path.name for path in (folder / "figures").iterdir()}

    expected = {"scores", "rates", "trajectories", "eigenvalues"}
    assert names == {f"{name}.{kind}" for name in expected for kind in ("png", "svg")}


def test_same_result_gives_the_same_files(result, folder, tmp_path):
    write_report(result, tmp_path)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_names_from_a_file_stay_text(tmp_path):
    result = make_result((ToyModel(HOSTILE, 0.9), ToyModel("b", 0.8)), dataset=HOSTILE)
    reasons = tuple(dataclasses.replace(item, reason=HOSTILE) for item in make_result((OPAQUE,)).left_out)
    sources = tuple(
        dataclasses.replace(f, file_name=HOSTILE, config={HOSTILE: HOSTILE}) for f in result.files
    )
    definitions = {
        key: dataclasses.replace(d, text=HOSTILE, formula=HOSTILE) for key, d in result.definitions.items()
    }
    result = dataclasses.replace(
        result,
        left_out=reasons,
        files=sources,
        definitions=definitions,
        software={HOSTILE: HOSTILE},
        command=HOSTILE,
    )
    page = make_page(tmp_path, result)

    assert len(page.all("script")) == 3
    assert all(set(image) == {"class", "src", "alt"} for image in page.all("img"))
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert json.loads(page.scripts[0])["models"][0]["name"] == HOSTILE
    assert page.text.count(HOSTILE) > 10


def test_scripts_are_the_ones_that_the_policy_names(page):
    import hashlib

    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    for script in page.scripts[1:]:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_metrics_csv_holds_every_row_exactly(page, result):
    link = next(a for a in page.all("a") if a.get("download") == "metrics.csv")
    rows = list(csv.DictReader(io.StringIO(unquote(link["href"].split(",", 1)[1]))))

    assert len(rows) == len(result.metrics)
    for written, row in zip(rows, result.metrics, strict=True):
        assert float(written["value"]) == row.value
        assert float(written["low"]) == row.low
        assert (written["model"], written["definition"]) == (row.model, row.definition)


def test_pairs_csv_holds_every_pair(page, result):
    link = next(a for a in page.all("a") if a.get("download") == "fixed_point_pairs.csv")
    rows = list(csv.DictReader(io.StringIO(unquote(link["href"].split(",", 1)[1]))))

    assert len(rows) == sum(len(matching.pairs) for matching in result.matches.values())
    rnn = [float(row["distance"]) for row in rows if row["model"] == "RNN"]
    np.testing.assert_array_equal(rnn, result.matches["RNN"].distance)


def test_every_shown_metric_is_defined(page, result):
    for definition in result.definitions.values():
        assert page.has(definition.formula)
        assert page.has(definition.name)
    assert page.text.count("Repeats a published form") == 1


def test_best_score_of_each_column_is_marked(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    table = re.search(r'<table class="scores">.*?</table>', text, re.S).group()
    rows = re.findall(r"<tr>.*?</tr>", table, re.S)[1:]

    assert [row.count('class="best"') for row in rows] == [5, 0, 0, 0]


def test_verdict_names_the_best_model_its_margin_and_its_points(result):
    def lower(model):
        return min(row.value for row in result.metrics if row.model == model and "state_r2" in row.metric)

    said = verdict(result)

    assert said.startswith("GRU recovers the true dynamics best")
    assert f"{lower('GRU'):.3f}" in said
    assert f"{lower('GRU') - lower('NODE'):.3f} above NODE" in said
    assert "8 of the truth's 8 stable fixed points and 27 of all 27" in said


def test_verdict_judges_by_the_worse_direction():
    result = make_result((ToyModel("superfluous", 0.9), ToyModel("even", 0.8)))
    rows = tuple(
        dataclasses.replace(row, value=0.5, low=0.49, high=0.51)
        if (row.model, row.metric) == ("superfluous", "state_r2_true_to_inferred")
        else row
        for row in result.metrics
    )

    assert verdict(dataclasses.replace(result, metrics=rows)).startswith("even recovers")


def test_verdict_admits_a_tie():
    said = verdict(make_result((ToyModel("a", 0.9), ToyModel("b", 0.899))))

    assert "overlaps" in said
    assert "best" not in said


@pytest.mark.parametrize(
    ("models", "truth", "sentence"),
    [
        ((ToyModel("one", 0.9),), True, "one was analysed alone"),
        ((OPAQUE, RATES_ALONE), True, "closed is the only model that could be judged"),
        ((ToyModel("a", 0.9), ToyModel("b", 0.5)), False, "a has the best co-smoothing"),
    ],
)
def test_verdict_fits_what_there_is(models, truth, sentence):
    assert verdict(make_result(models, truth=truth)).startswith(sentence)


@pytest.mark.parametrize(
    ("models", "truth", "sentences"),
    [
        (
            (OPAQUE, RATES_ALONE),
            True,
            (
                "its dynamics are opaque",
                "the file holds no dynamics",
                "Without states in their files: rates.",
                "No model has fixed points",
            ),
        ),
        (
            (ToyModel("a", 0.9),),
            False,
            (
                "The recording holds no true rates.",
                "The recording holds no true states",
                "Nothing matched, so all fixed points are shown: a.",
                "the recording has no truth",
            ),
        ),
        (
            (RATES_ALONE,),
            False,
            ("No file holds states", "No fixed points were looked for: the file holds no dynamics."),
        ),
    ],
)
def test_missing_things_are_said_with_their_reason(tmp_path, models, truth, sentences):
    page = make_page(tmp_path, make_result(models, truth=truth))
    for sentence in sentences:
        assert page.has(sentence), sentence


def test_nothing_at_all_still_makes_a_page(tmp_path):
    result = make_result((RATES_ALONE,), truth=False)
    empty = dataclasses.replace(
        result, metrics=(), definitions={}, examples=dataclasses.replace(result.examples, rates={})
    )
    page = make_page(tmp_path, empty)

    assert page.has("No metric could be computed.")
    assert page.has("No file holds rates")
    assert page.has("The numbers that could decide between the models are missing")


def test_several_seeds_are_shown_as_mean_and_sd(tmp_path):
    result = make_result(n_seeds=3)
    values = [row.value for row in result.metrics if (row.model, row.metric) == ("LDS", "co_bps")]
    page = make_page(tmp_path, result)

    assert page.has(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
    assert page.has("3 seeds")
    shown = [model["label"] for model in make_payload(result)["models"] if model["shown"]]
    assert [label.split()[0] for label in shown] == ["GRU", "NODE", "RNN", "LDS"]


def test_shown_seed_is_the_median():
    result = make_result((ToyModel("a", 0.9),), n_seeds=3)
    scores = {0: 0.7, 1: 0.9, 2: 0.8}
    rows = tuple(
        MetricRow(row.dataset, row.model, row.seed, row.split, row.metric, row.definition, scores[row.seed])
        for row in result.metrics
    )
    payload = make_payload(dataclasses.replace(result, metrics=rows))

    assert [model["label"] for model in payload["models"] if model["shown"]] == ["a seed 2"]


def test_payload_holds_rates_and_states_as_they_are(result):
    payload = make_payload(result)
    rates = result.examples.rates["GRU"]
    np.testing.assert_allclose(unpack(payload["examples"]["rates"]["GRU"]), rates, atol=rates.max() / 65535)
    np.testing.assert_array_equal(unpack(payload["examples"]["spikes"]).round(), result.examples.spikes)

    space = result.spaces["NODE"]
    states = unpack(payload["spaces"]["NODE"]["mapped"])
    inside = np.arange(states.shape[1]) < space.lengths[:, None]
    np.testing.assert_allclose(states[inside], space.trajectories_in_truth[inside], rtol=1e-6)
    assert np.isnan(states[~inside]).all()


def test_large_examples_are_cut_to_fewer_trials(result, monkeypatch):
    monkeypatch.setattr("ctd_analysis.report.payload.MAX_VALUES", 100 * 60 * 6 * 3)
    examples = make_payload(result)["examples"]

    assert examples["trial"] == result.examples.trial[:3].tolist()
    assert {packed["shape"][0] for packed in examples["rates"].values()} == {3}


def test_not_finite_numbers_do_not_break_the_page(tmp_path, result):
    rates = {label: np.full_like(values, np.nan) for label, values in result.examples.rates.items()}
    space = result.spaces["GRU"]
    space = dataclasses.replace(space, trajectories_in_truth=np.nan * space.trajectories)
    row = dataclasses.replace(result.metrics[0], value=np.nan, low=None, high=None)
    odd = dataclasses.replace(
        result,
        metrics=(row, *result.metrics[1:]),
        examples=dataclasses.replace(result.examples, rates=rates),
        spaces={**result.spaces, "GRU": space},
    )
    page = make_page(tmp_path, odd)

    json.loads(page.scripts[0], parse_constant=lambda name: pytest.fail(f"{name} in the payload"))


def test_failed_writing_leaves_the_older_report(result, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "save", lambda figure, folder, name: b"")
    path = write_report(result, tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(make_result(dataset="other"), tmp_path)
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "figures"}


def test_points_without_truth_are_counted(tmp_path):
    result = make_result((ToyModel("a", 0.9),), truth=False)
    page = make_page(tmp_path, result)

    assert TRUTH not in result.spaces
    assert page.has("a 27 8 0")

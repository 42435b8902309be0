"""Figures show the numbers that they were given, and leave matplotlib as it was."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from ctd_analysis.figures import eigenvalue_figure, rate_figure, score_figure, trajectory_figure
from ctd_analysis.figures.columns import score_columns
from ctd_analysis.figures.palette import DARK, LIGHT, TRUTH_LIGHT, model_colors
from ctd_analysis.figures.style import save
from ctd_analysis.results import TRUTH
from ctd_analysis.testing import ToyModel, make_result


@pytest.fixture(scope="module")
def result():
    return make_result()


def lines(axis, color):
    return [line for line in axis.get_lines() if to_hex(line.get_color()) == color]


def luminance(color):
    channels = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_scores_sit_at_their_values_with_their_intervals(result):
    figure = score_figure(result)
    columns = score_columns(result)

    assert [axis.get_title(loc="left") for axis in figure.axes] == [column.heading for column in columns]
    for axis, column in zip(figure.axes, columns, strict=True):
        for position, model in enumerate(result.models):
            row = result.row(model.label, column.metric, column.definition)
            interval, dot = lines(axis, model_colors(result)[model.label])
            np.testing.assert_array_equal(interval.get_xdata(), [row.low, row.high])
            assert list(dot.get_xdata()) == [row.value]
            assert list(dot.get_ydata()) == [position]


def test_long_headings_leave_each_other_alone(result):
    column = score_columns(result)[0]
    rows = [
        replace(row, metric=f"message_norm accumulator:{region}")
        for row in result.metrics
        if (row.metric, row.definition) == (column.metric, column.definition)
        for region in ("follower", "hippocampus", "thalamus")
    ]
    figure = score_figure(replace(result, metrics=rows))
    figure.canvas.draw()
    boxes = [axis._left_title.get_window_extent() for axis in figure.axes]
    assert len(boxes) == 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_rates_and_spikes_are_those_of_the_trial(result):
    trial, neuron = 1, 52
    figure = rate_figure(result, trial, [neuron], ["NODE"])
    axis = figure.axes[0]
    length = result.examples.lengths[trial]

    (truth,) = lines(axis, TRUTH_LIGHT)
    np.testing.assert_array_equal(truth.get_ydata(), result.examples.true_rates[trial, :length, neuron])
    (model,) = lines(axis, model_colors(result)["NODE"])
    np.testing.assert_array_equal(model.get_ydata(), result.examples.rates["NODE"][trial, :length, neuron])
    ticks = axis.child_axes[0].collections[0].get_segments()
    counts = result.examples.spikes[trial, :length, neuron]
    assert [tick[1][1] for tick in ticks] == counts[counts > 0].tolist()
    assert "held out" in axis.get_title(loc="left")


def test_default_neurons_are_the_most_variable_half_of_them_held_out(result):
    titles = [axis.get_title(loc="left") for axis in rate_figure(result).axes]

    assert sum("held out" in title for title in titles) == 3
    held_in = np.flatnonzero(~result.examples.held_out)
    most = held_in[np.argmax(result.examples.true_rates[..., held_in].std(axis=(0, 1)))]
    assert titles[0] == f"neuron {most}, held in"


def test_trajectories_have_a_panel_per_source_with_all_points_and_pairs(result):
    figure = trajectory_figure(result)

    assert [axis.get_title() for axis in figure.axes] == [TRUTH, "GRU", "NODE", "RNN", "LDS"]
    truth, gru, *_ = figure.axes
    drawn = sum(len(collection.get_offsets()) for collection in truth.collections)
    assert drawn == len(result.spaces[TRUTH].points)
    assert sum(len(c.get_offsets()) for c in gru.collections) == 2 * drawn
    n_trials = len(result.examples.trial)
    assert len(gru.get_lines()) == 2 * n_trials + len(result.matches["GRU"].pairs)


def test_trajectories_of_two_states_lie_in_a_plane(result):
    def flattened(space):
        flat = np.array([1.0, 1.0, 0.0])
        names = ("trajectories", "points_projected", "trajectories_in_truth", "points_in_truth")
        known = {name: getattr(space, name) for name in names if getattr(space, name) is not None}
        return replace(space, **{name: array * flat for name, array in known.items()})

    spaces = {name: flattened(space) for name, space in result.spaces.items()}
    axis = trajectory_figure(replace(result, spaces=spaces)).axes[0]
    np.testing.assert_allclose(np.mean(axis.get_zlim3d()), 0.0)
    assert np.ptp(axis.get_zlim3d()) >= 1.0


def test_stable_points_alone_are_filled(result):
    axis = trajectory_figure(result).axes[0]
    filled = sum(
        len(c.get_offsets())
        for c in axis.collections
        if len(c.get_facecolor()) and to_hex(c.get_facecolor()[0]) == TRUTH_LIGHT
    )

    assert filled == result.spaces[TRUTH].points.stable.sum() == 8


def test_eigenvalues_are_those_of_the_matched_points_on_equal_axes(result):
    figure = eigenvalue_figure(result)
    for axis, model in zip(figure.axes, result.models, strict=True):
        matching = result.matches[model.label]
        values = result.spaces[TRUTH].points.eigenvalues[matching.pairs[:, 0]].ravel()
        (truth,) = lines(axis, TRUTH_LIGHT)
        np.testing.assert_array_equal(truth.get_xdata(), values.real)
        own = result.spaces[model.label].points.eigenvalues[matching.pairs[:, 1]].ravel()
        (drawn,) = lines(axis, model_colors(result)[model.label])
        np.testing.assert_array_equal(drawn.get_ydata(), own.imag)
        assert axis.get_aspect() == 1.0
        reach = np.abs(np.concatenate([values, own])).max()
        assert axis.get_xlim()[1] > max(1.0, reach)


@pytest.mark.parametrize("draw", [score_figure, rate_figure, trajectory_figure, eigenvalue_figure])
@pytest.mark.parametrize(
    "result",
    [
        make_result((ToyModel("$\\frac{<b>", 0.9), ToyModel("b", 0.8, opaque=True))),
        make_result((ToyModel("a", 0.9),), truth=False, n_time=1),
        make_result(n_seeds=2),
    ],
)
def test_incomplete_results_are_drawn(draw, result, tmp_path):
    save(draw(result), tmp_path, "figure")

    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_seeds_share_their_models_colour():
    colors = model_colors(make_result(n_seeds=2))

    assert colors["GRU seed 0"] == colors["GRU seed 1"] != colors["NODE seed 0"]


def test_colours_stand_out_from_their_ground():
    for colors, ground in ((LIGHT, "#ffffff"), (DARK, "#14171b")):
        for color in colors:
            dim, bright = sorted((luminance(color), luminance(ground)))
            assert (bright + 0.05) / (dim + 0.05) > 2.9, color


def test_matplotlib_is_left_as_it_was(result, tmp_path):
    before = dict(mpl.rcParams)
    save(score_figure(result), tmp_path, "scores")

    assert dict(mpl.rcParams) == before


def test_saving_needs_neither_pyplot_nor_a_screen(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ctd_analysis.testing import make_result;"
        "from ctd_analysis.report import write_report;"
        f"write_report(make_result(), Path({str(tmp_path)!r}));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, env={"DISPLAY": "", "HOME": str(tmp_path)}
    )


def test_package_imports_without_matplotlib_and_plotly():
    script = "import ctd_analysis, sys; assert not {'matplotlib', 'plotly'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)

"""Metrics against scikit-learn, brute force and closed forms, and the defects that they mend."""

import numpy as np
import pytest
from scipy.stats import poisson
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from ctd_analysis.bootstrap import Bootstrap, Estimate, Undefined
from ctd_analysis.metrics import (
    METRICS,
    CoBps,
    RateR2,
    StateR2TrueToInferred,
    block_of,
    bps,
    co_bps,
    cycle_consistency,
    fp_bps,
    input_r2,
    log_rate_r2,
    rate_r2,
    state_r2,
)

POINT = Bootstrap(n_resamples=0)


def values(estimates):
    """Key -> value, or the reason for which there is none."""
    return {
        form.key: estimate.value if isinstance(estimate, Estimate) else estimate.reason
        for form, estimate in estimates
    }


def flat(array):
    return array.reshape(-1, array.shape[-1])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def rates(rng):
    true = rng.gamma(2.0, 5.0, (7, 11, 4)) * np.array([1.0, 3.0, 0.5, 2.0])
    return true, true * rng.lognormal(0.0, 0.2, true.shape)


def test_log_rate_r2_is_that_of_the_logarithms(rates):
    true, model = rates
    logs = [np.log(np.maximum(one, 1e-3)).reshape(-1, one.shape[-1]) for one in (true, model)]
    expected = r2_score(*logs, multioutput="variance_weighted")
    got = values(log_rate_r2(true, model, bootstrap=POINT))
    assert got["log_rate_r2/variance-weighted-1"] == pytest.approx(expected, abs=1e-12)
    silent = model.copy()
    silent[0] = 0.0
    assert np.isfinite(list(values(log_rate_r2(true, silent, bootstrap=POINT)).values())).all()


def test_rate_r2_is_scikit_learns(rates):
    true, model = rates
    got = values(rate_r2(true, model, bootstrap=POINT))
    expected = r2_score(flat(true), flat(model), multioutput="variance_weighted")
    assert got["rate_r2/variance-weighted-1"] == pytest.approx(expected, abs=1e-12)
    uniform = r2_score(flat(true), flat(model), multioutput="uniform_average")
    assert got["rate_r2/published-expressive-1"] == pytest.approx(uniform, abs=1e-12)


def test_a_large_offset_costs_no_digits(rates):
    true, model = rates
    near = values(rate_r2(true, model, bootstrap=POINT))
    far = values(rate_r2(true + 1e7, model + 1e7, bootstrap=POINT))
    assert near == pytest.approx(far, abs=1e-6)


def test_blocks_of_trials_add_up(rates):
    true, model = rates
    metric = RateR2()
    for rows in (slice(0, 2), slice(2, 7)):
        metric.score(block_of(true_rates=true[rows], rates=model[rows]))
    assert values(metric.estimates(POINT)) == pytest.approx(
        values(rate_r2(true, model, bootstrap=POINT)), rel=1e-12
    )


def test_padding_never_counts(rates, rng):
    true, model = rates
    spikes = rng.poisson(true * 0.02).astype(float)
    valid = np.arange(11) < rng.integers(4, 12, (7, 1))
    held_out = np.array([False, False, True, True])
    options = {"held_out": held_out, "bin_width_s": 0.02, "valid": valid, "bootstrap": POINT}

    def scores(fill):
        padded, predicted = np.where(valid[..., None], true, fill), np.where(valid[..., None], model, fill)
        return (
            values(rate_r2(padded, predicted, valid=valid, bootstrap=POINT))
            | values(co_bps(np.where(valid[..., None], spikes, fill), predicted, **options))
            | values(
                state_r2(
                    padded, predicted, padded, predicted, valid=valid, train_valid=valid, bootstrap=POINT
                )
            )
        )

    with np.errstate(invalid="ignore"):
        assert scores(np.nan) == pytest.approx(scores(0.0), rel=1e-12)
    expected = r2_score(true[valid], model[valid], multioutput="variance_weighted")
    assert scores(0.0)["rate_r2/variance-weighted-1"] == pytest.approx(expected, abs=1e-12)


def test_constant_targets_give_a_reason_and_constant_neurons_no_nan(rates):
    true, model = rates
    constant = np.full_like(true, 0.1 + 0.2)
    for reason in values(rate_r2(constant, model)).values():
        assert "doesn't vary" in reason
    true = true.copy()
    true[..., 0] = 0.1 + 0.2
    got = values(rate_r2(true, model, bootstrap=POINT))
    rest = [r2_score(flat(true)[:, n], flat(model)[:, n]) for n in (1, 2, 3)]
    assert got["rate_r2/published-expressive-1"] == pytest.approx(np.mean(rest), abs=1e-12)
    # A model that varies where the truth doesn't is punished.
    assert (
        got["rate_r2/variance-weighted-1"]
        < values(rate_r2(true, np.where(np.arange(4) == 0, true, model), bootstrap=POINT))[
            "rate_r2/variance-weighted-1"
        ]
    )


def test_state_r2_is_fitted_on_training_trials_and_scored_on_others(rng):
    train, test = rng.normal(size=(20, 9, 3)), rng.normal(size=(5, 9, 3))
    mix = rng.normal(size=(3, 5))
    train_model = train @ mix + rng.normal(size=(20, 9, 5)) + 2.0
    model = test @ mix + rng.normal(size=(5, 9, 5)) + 2.0
    got = values(state_r2(test, model, train, train_model, bootstrap=POINT))
    forward = LinearRegression().fit(flat(train), flat(train_model)).predict(flat(test))
    back = LinearRegression().fit(flat(train_model), flat(train)).predict(flat(model))
    expected = {
        "state_r2_true_to_inferred/affine-train-1": r2_score(
            flat(model), forward, multioutput="variance_weighted"
        ),
        "state_r2_inferred_to_true/affine-train-1": r2_score(
            flat(test), back, multioutput="variance_weighted"
        ),
    }
    in_sample = LinearRegression().fit(flat(test), flat(model)).predict(flat(test))
    expected["state_r2_true_to_inferred/published-expressive-1"] = r2_score(flat(model), in_sample)
    assert got == pytest.approx(expected, abs=1e-10)


def test_the_two_directions_see_superfluous_and_missing_dimensions(rng):
    train, test = rng.normal(size=(20, 9, 3)), rng.normal(size=(5, 9, 3))

    def superfluous(states):
        return np.concatenate([states, rng.normal(size=states.shape)], axis=-1)

    got = values(state_r2(test, superfluous(test), train, superfluous(train), bootstrap=POINT))
    assert got["state_r2_inferred_to_true/affine-train-1"] == pytest.approx(1.0, abs=1e-9)
    assert got["state_r2_true_to_inferred/affine-train-1"] == pytest.approx(0.5, abs=0.15)
    got = values(state_r2(test, test[..., :2], train, train[..., :2], bootstrap=POINT))
    assert got["state_r2_true_to_inferred/affine-train-1"] == pytest.approx(1.0, abs=1e-9)
    assert got["state_r2_inferred_to_true/affine-train-1"] < 0.8


def test_collinear_states_have_a_map(rng):
    train, test = rng.normal(size=(20, 9, 2)), rng.normal(size=(5, 9, 2))
    copies = rng.normal(size=(2, 6))
    got = values(state_r2(test @ copies, test, train @ copies, train, bootstrap=POINT))
    assert got["state_r2_true_to_inferred/affine-train-1"] == pytest.approx(1.0, abs=1e-9)


def test_input_r2_in_both_directions(rng):
    train, test = rng.normal(size=(20, 9, 2)), rng.normal(size=(5, 9, 2))
    got = values(input_r2(test, test[..., :1] * 3.0, train, train[..., :1] * 3.0, bootstrap=POINT))
    assert got["input_r2_true_to_inferred/clean-affine-train-1"] == pytest.approx(1.0, abs=1e-12)
    assert 0.3 < got["input_r2_inferred_to_true/clean-affine-train-1"] < 0.7


def brute_bits(spikes, expected):
    null = np.broadcast_to(spikes.mean(axis=(0, 1)), spikes.shape)
    gain = poisson.logpmf(spikes, expected).sum() - poisson.logpmf(spikes, null).sum()
    return gain / spikes.sum() / np.log(2.0)


def test_bits_per_spike_against_the_likelihood(rates, rng):
    true, model = rates
    spikes = rng.poisson(true * 0.02).astype(float)
    held_out = np.array([False, True, False, True])
    forward = np.arange(11) >= 8
    options = {"bin_width_s": 0.02, "forward": forward, "bootstrap": POINT}
    expected = model * 0.02
    got = values(co_bps(spikes, model, held_out=held_out, n_external_inputs=1, **options))
    got |= values(bps(spikes, model, held_out=held_out, **options)) | values(fp_bps(spikes, model, **options))
    early, late = np.flatnonzero(~forward), np.flatnonzero(forward)
    assert got == pytest.approx(
        {
            "co_bps/poisson-1": brute_bits(
                spikes[:, early][..., held_out], expected[:, early][..., held_out]
            ),
            "co_bps/published-ctd-1": brute_bits(spikes[..., 1:], expected[..., 1:]),
            "bps/poisson-1": brute_bits(spikes[:, early][..., ~held_out], expected[:, early][..., ~held_out]),
            "fp_bps/poisson-1": brute_bits(spikes[:, late], expected[:, late]),
        },
        abs=1e-10,
    )


def test_true_co_bps_is_deaf_to_held_in_neurons(rates, rng):
    """The published one slices by the number of inputs: knowing the held-in spikes scores there."""
    true, _ = rates
    spikes = rng.poisson(true * 0.02).astype(float)
    held_out = np.array([False, False, False, True])
    cheat = np.where(held_out, spikes[..., 3:].mean(), spikes + 1e-3) / 0.02
    got = values(
        co_bps(spikes, cheat, held_out=held_out, n_external_inputs=1, bin_width_s=0.02, bootstrap=POINT)
    )
    assert got["co_bps/poisson-1"] == pytest.approx(0.0, abs=1e-12)
    assert got["co_bps/published-ctd-1"] > 1.0


def test_bins_that_were_not_recorded_are_not_scored(rates, rng):
    true, model = rates
    spikes = rng.poisson(true * 0.02).astype(float)
    held_out = np.array([False, False, False, True])
    observed = rng.random(spikes.shape) < 0.7
    results = []
    for fill in (0.0, 50.0):
        metric = CoBps()
        hidden = np.where(observed, spikes, fill)
        metric.score(
            block_of(
                spikes=hidden,
                rates=model,
                observed=observed.astype(float),
                held_out=held_out,
                bin_width_s=0.02,
            )
        )
        results.append(values(metric.estimates(POINT)))
    assert results[0] == results[1]


def test_a_rate_of_zero_is_finite_and_a_negative_one_refused(rng):
    spikes = rng.poisson(1.0, (3, 5, 2)).astype(float)
    held_out = np.array([False, True])
    zero = values(co_bps(spikes, np.zeros_like(spikes), held_out=held_out, bin_width_s=0.01, bootstrap=POINT))
    assert np.isfinite(zero["co_bps/poisson-1"])
    with pytest.raises(ValueError, match="not negative"):
        co_bps(spikes, spikes - 2.0, held_out=held_out, bin_width_s=0.01)
    silent = values(co_bps(spikes * 0.0, spikes, held_out=held_out, bin_width_s=0.01))
    assert "no spike" in silent["co_bps/poisson-1"]


def readout(states, weights):
    return np.exp(states @ weights) / 0.01


def test_cycle_consistency_sees_a_dimension_that_the_readout_hides(rng):
    """The published form is exactly 1 for all that is not cut and never looks at the scored rates."""
    train, test = rng.normal(size=(30, 10, 3)), rng.normal(size=(8, 10, 3))
    weights = rng.normal(size=(3, 20)) * 0.5
    open_book = values(
        cycle_consistency(test, readout(test, weights), train, readout(train, weights), bootstrap=POINT)
    )
    assert open_book["cycle_consistency/published-ctd-1"] == pytest.approx(1.0, abs=1e-12)
    assert open_book["cycle_consistency/noisy-inverse-1"] > 0.98
    weights[2] *= 1e-3
    hidden = values(
        cycle_consistency(test, readout(test, weights), train, readout(train, weights), bootstrap=POINT)
    )
    shown = test.var(axis=(0, 1))[:2].sum() / test.var(axis=(0, 1)).sum()
    assert hidden["cycle_consistency/noisy-inverse-1"] == pytest.approx(shown, abs=0.02)
    shuffled = readout(rng.permuted(test, axis=0), weights)
    broken = values(cycle_consistency(test, shuffled, train, readout(train, weights), bootstrap=POINT))
    assert broken["cycle_consistency/noisy-inverse-1"] < 0.0
    assert broken["cycle_consistency/published-ctd-1"] == hidden["cycle_consistency/published-ctd-1"]


def test_cycle_consistency_is_the_mean_over_sampled_noise(rng):
    train, test = rng.normal(size=(30, 10, 3)), rng.normal(size=(8, 10, 3))
    weights = rng.normal(size=(3, 6)) * np.array([[1.0], [0.2], [0.05]])
    log_train, log_test = flat(train) @ weights, flat(test) @ weights
    noise_sd = np.sqrt(0.01 * log_train.var(axis=0).mean())
    covariance = np.cov(log_train.T, bias=True) + noise_sd**2 * np.eye(6)
    cross = (log_train - log_train.mean(0)).T @ (flat(train) - flat(train).mean(0)) / len(log_train)
    inverse = np.linalg.solve(covariance, cross)
    scores = []
    for _ in range(400):
        noisy = log_test + noise_sd * rng.normal(size=log_test.shape) - log_train.mean(0)
        scores.append(
            r2_score(flat(test), noisy @ inverse + flat(train).mean(0), multioutput="variance_weighted")
        )
    got = values(
        cycle_consistency(test, readout(test, weights), train, readout(train, weights), bootstrap=POINT)
    )
    assert got["cycle_consistency/noisy-inverse-1"] == pytest.approx(np.mean(scores), abs=2e-3)


def test_published_cycle_consistency_is_the_truncated_pseudo_inverse(rng):
    train, test = rng.normal(size=(30, 10, 4)), rng.normal(size=(8, 10, 4))
    weights = rng.normal(size=(4, 9)) * np.array([[1.0], [0.5], [0.05], [0.01]])
    got = values(
        cycle_consistency(test, readout(test, weights), train, readout(train, weights), bootstrap=POINT)
    )
    singular = np.linalg.svd(weights, compute_uv=False) ** 2
    k = int(np.searchsorted(np.cumsum(singular) / singular.sum(), 0.99)) + 1
    left, values_, right = np.linalg.svd(weights.T, full_matrices=False)
    centred = flat(test) - flat(train).mean(0)
    back = (centred @ weights) @ (right[:k].T @ np.diag(1.0 / values_[:k]) @ left[:, :k].T).T
    expected = r2_score(centred, back, multioutput="variance_weighted")
    assert k < 4
    assert got["cycle_consistency/published-ctd-1"] == pytest.approx(expected, abs=1e-9)


def test_no_training_trials_is_a_reason(rng):
    metric = StateR2TrueToInferred()
    states = rng.normal(size=(3, 4, 2))
    metric.score(block_of(true_states=states, states=states))
    ours, _ = metric.estimates(POINT)
    assert isinstance(ours[1], Undefined)
    assert "training" in ours[1].reason


def test_every_metric_defines_its_numbers():
    forms = [form for metric in METRICS for form in metric.definitions]
    assert len({form.key for form in forms}) == len(forms)
    for form in forms:
        assert form.formula
        assert form.text
        assert form.name.rsplit("-", 1)[1].isdigit()
        assert form.published == form.name.startswith("published-")

"""TensorFlow Probability's substrate: loads without a warning, in one module, and computes what it should."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ctd_models_jax


def test_one_module_imports_it():
    folder = Path(ctd_models_jax.__file__).parent
    using = [p.name for p in folder.rglob("*.py") if re.search(r"(from|import) tensorflow", p.read_text())]
    assert using == ["distributions.py"]


def test_it_loads_with_warnings_as_errors_and_only_on_demand():
    check = (
        "import sys, ctd_models_jax.autoencoder, ctd_models_jax.training;"
        "assert 'tensorflow_probability' not in sys.modules;"
        "from ctd_models_jax.distributions import tfb, tfd; tfb.Softplus()(1.0); tfd.Normal(0.0, 1.0)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


def test_the_hidden_markov_model_sums_over_all_paths():
    """Compiled and differentiated, as models use it."""
    from ctd_models_jax.distributions import tfd

    start, move = jnp.array([0.7, 0.3]), jnp.array([[0.9, 0.1], [0.4, 0.6]])
    observed = np.array([0.3, -1.0, 2.0])

    def log_prob(mean):
        emission = tfd.Normal(jnp.array([-1.0, 1.0]) * mean, 1.0)
        model = tfd.HiddenMarkovModel(tfd.Categorical(probs=start), tfd.Categorical(probs=move), emission, 3)
        return model.log_prob(jnp.asarray(observed))

    def brute(mean):
        total = 0.0
        for path in itertools.product(range(2), repeat=3):
            moves = [float(move[a, b]) for a, b in itertools.pairwise(path)]
            centre = np.array([(-1.0, 1.0)[mode] * mean for mode in path])
            densities = np.exp(-((observed - centre) ** 2) / 2) / np.sqrt(2 * np.pi)
            total += float(start[path[0]]) * np.prod(moves) * np.prod(densities)
        return np.log(total)

    value, slope = jax.jit(jax.value_and_grad(log_prob))(1.3)
    np.testing.assert_allclose(value, brute(1.3), rtol=1e-5)
    np.testing.assert_allclose(slope, (brute(1.301) - brute(1.299)) / 2e-3, rtol=1e-3)

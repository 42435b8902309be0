"""Training in which a whole epoch is one compiled call, shared by all models of the package.

A model gives ``loss(params, batch, key=..., step=...)``, a pure function whose result is a dict of named
terms; `fit` minimises their sum. What to train, how long and at what learning rate is a list of `Stage`.
Trials come from `Shuffled` or `ShuffledSets`, over arrays on the device, or from `Generated`, which draws
them there. With a vector of keys `fit` trains as many seeds side by side. Learning rates may differ between
them (`rates`), and so may whatever else the loss reads from a leaf of the parameters that is held fixed.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from ctd_models_jax.training import Shuffled, Stage, fit
    >>> x = jnp.arange(8.0)
    >>> def loss(params, batch, *, key, step):
    ...     return {"squares": jnp.mean((params["slope"] * batch["x"] - batch["y"]) ** 2)}
    >>> result = fit(
    ...     *({"slope": jnp.zeros(())}, True, loss, Shuffled(n_trials=8, batch_size=4)),
    ...     stages=[Stage(epochs=100, learning_rate=0.1, clip=None)],
    ...     key=jax.random.key(0),
    ...     train={"x": x, "y": 3 * x},
    ... )
    >>> print(round(float(result.params["slope"]), 2))
    3.0
"""

from ctd_models_jax.training.batches import Batches, Generated, Shuffled, ShuffledSets
from ctd_models_jax.training.epoch import Epoch, State
from ctd_models_jax.training.fit import NonFiniteLossError, Result, fit
from ctd_models_jax.training.record import Record
from ctd_models_jax.training.stage import Stage, all_trainable

__all__ = [
    "Batches",
    "Epoch",
    "Generated",
    "NonFiniteLossError",
    "Record",
    "Result",
    "Shuffled",
    "ShuffledSets",
    "Stage",
    "State",
    "all_trainable",
    "fit",
]

"""Training step of the small published MR-SDS: 64 trials, 75 bins, 2 regions of 50 neurons, 2 cores.

As `mrsds_step`, with linear emissions and no overshooting. In units of one step stand 8 seeds in one call, as
one batch and in turn, and one step of 8 times as many trials (``trials_in_single_steps``): the same
arithmetic with one set of weights, which tells how much of a step is overhead that seeds could share.
"""

from __future__ import annotations

import json
from dataclasses import replace

from mrsds_step import KEY, SEEDS, Size, measured, ours, training

from ctd_models_jax.mrsds.config import DynamicsConfig, EncoderConfig, MRSDSConfig

TOY = Size(
    (50, 50),
    75,
    8,
    MRSDSConfig(
        dropout_trials=0.0,
        dynamics=DynamicsConfig(output="next_state"),
        encoder=EncoderConfig(
            kind="transformer", embedding=[8], heads=3, head_size=35, feed_forward=4, layers=[32]
        ),
    ),
)


if __name__ == "__main__":
    more = replace(TOY, trials=SEEDS * TOY.trials)
    result = measured("mrsds_toy_step", TOY, repeats=5, trials_in_single_steps=training(more, ours, KEY))
    print(json.dumps(result))

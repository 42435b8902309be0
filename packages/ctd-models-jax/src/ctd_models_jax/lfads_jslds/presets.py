"""Published settings as presets (Smith et al. 2021, and the comparison on the 3-bit flip-flop)."""

from __future__ import annotations

_PUBLISHED = (
    *("model.expansion_layers=2", "model.smallest_variance=0.001", "model.initial_prior.variance=0.1"),
    *("model.control_prior.kind=autoregressive", "model.control_prior.variance=0.1", "model.dropout=0.02"),
    *("model.weights.rnn=1", "model.weights.jslds=1", "model.weights.l2=2e-5"),
    *("model.kl.start=500", "model.kl.increase=500"),
    *("training.schedule=exponential", "training.decay=0.9999", "training.epsilon=0.1"),
    *("training.coordinated_dropout=0", "training.loss_per=trial"),
)
PRESETS = {
    # The authors' notebook: an integrator, 25 bins, 100 neurons, one inferred input.
    "published_integrator": (
        *_PUBLISHED,
        *("model.units=128", "model.factors=32", "model.encoder.units=128", "model.controller.units=128"),
        *("model.controller.controls=1", "model.control_prior.time_constant=1"),
        *("model.weights.fixed_point=100", "model.weights.agreement=10", "model.kl.first=0.01"),
        *("training.steps=20000", "training.batch_size=128", "training.learning_rate=0.05"),
        "training.gradient_clip=10",
    ),
    # The 3-bit flip-flop of 500 bins and 50 held-in neurons, three inferred inputs.
    "published_flip_flop": (
        *_PUBLISHED,
        *("model.units=64", "model.factors=10", "model.encoder.units=128", "model.controller.units=128"),
        *("model.controller.controls=3", "model.control_prior.time_constant=1e-10"),
        *("model.weights.fixed_point=10", "model.weights.agreement=1", "model.kl.first=0"),
        *("training.steps=25000", "training.batch_size=800", "training.learning_rate=0.001"),
        "training.gradient_clip=5",
    ),
}

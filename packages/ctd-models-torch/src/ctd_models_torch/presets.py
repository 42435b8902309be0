"""Named settings: those of the published comparison on the 3-bit flip-flop."""

# Versteeg et al. (2025): encoder 100, dropout .05, batches of 250, 500 epochs, Adam at a constant rate, clip
# .01, raw counts, no coordinated dropout, whole trials from the start, torch's own initial weights.
_COMMON = (
    "model.encoder.size=100",
    "model.encoder.standardize=false",
    "model.encoder.window=null",
    "model.dropout=0.05",
    "model.coordinated_dropout=0",
    "readout=linear",
    "training.batch_size=250",
    "training.max_epochs=500",
    "training.schedule=constant",
    "training.warmup=0",
    "training.weight_decay=0",
    "training.gradient_clip=0.01",
    "training.growth.start_bins=null",
    "training.patience=null",
    "training.smoothing=0",
)
_MODELS = {
    "gru": ("model.size=128", "model.memory=0", "training.learning_rate=2e-3"),
    "lds": ("model.size=128", "model.memory=0", "training.learning_rate=1e-4"),
    "rnn": ("model.size=128", "model.memory=0", "training.learning_rate=5e-3"),
    "node": (
        "model.size=10",
        "model.hidden_size=128",
        "model.hidden_layers=6",
        "model.delta=0.1",
        "model.activation=relu",
        "training.learning_rate=2e-3",
    ),
}
PRESETS = {f"published_{name}": (f"model={name}", *_COMMON, *own) for name, own in _MODELS.items()}

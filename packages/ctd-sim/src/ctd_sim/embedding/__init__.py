"""How neurons see states: maps from state dimensions to one activation per neuron."""

from ctd_sim.embedding.base import Embedding, EmbeddingConfig
from ctd_sim.embedding.linear import LinearConfig
from ctd_sim.embedding.permuted import PermutedConfig
from ctd_sim.embedding.smooth import SmoothConfig

EMBEDDINGS: dict[str, type[EmbeddingConfig]] = {
    "permuted": PermutedConfig,
    "linear": LinearConfig,
    "smooth": SmoothConfig,
}

__all__ = [
    "EMBEDDINGS",
    "Embedding",
    "EmbeddingConfig",
    "LinearConfig",
    "PermutedConfig",
    "SmoothConfig",
]

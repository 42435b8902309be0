"""Lightning's way in and out of checkpoints."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from ctd_contract.torch.checkpoint import load_checkpoint, save_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Checkpoints of tensors and plain data where Lightning's own would be pickles."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write one checkpoint."""
        if storage_options is not None:
            raise TypeError("storage_options have no meaning for checkpoints on a local disk")
        save_checkpoint(path, checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one checkpoint; it holds no objects, so ``weights_only`` changes nothing."""
        del map_location, weights_only
        return load_checkpoint(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete one checkpoint."""
        Path(path).unlink(missing_ok=True)

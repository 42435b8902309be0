"""Checkpoints of tensors and plain data in one safetensors file: nothing in them can run code.

The tensors are stored under dotted names that tell where they stand; everything else is JSON in the file's
header. A checkpoint is written under another name and renamed, so a killed run leaves the older one whole.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

FORMAT = "ctd checkpoint 1"
_PLAIN = (str, int, float, bool, type(None))


class CheckpointError(ValueError):
    """A file that should be a checkpoint and is not, or data that a checkpoint cannot hold."""


def save_checkpoint(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors and plain values to one file, atomically.

    Args:
        path: Target; its folder is made.
        tree: Leaves are tensors, strings, numbers, booleans and None; keys of dicts are strings and integers.

    Raises:
        CheckpointError: A leaf or a key is something else.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_encode(tree, "", tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Not save_file, whose files nobody else may read, whatever the umask.
        partial.write_bytes(serialized(tensors, metadata={"format": FORMAT, "plain": plain}))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, with its tensors on ``device``.

    Raises:
        CheckpointError: The file is no checkpoint, or damaged.
        FileNotFoundError: There is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f"{path} is a safetensors file but not a checkpoint of this program")
            tree = json.loads(metadata["plain"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _decode(tree, tensors)
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}; train again or take another checkpoint"
        ) from error


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Turn a tree into JSON that says what every node was, and move its tensors to ``tensors``."""
    if isinstance(value, Tensor):
        while name in tensors:  # {"x": {"y": ...}} and {"x.y": ...} would be the same
            name += "'"
        # A clone: safetensors refuses tensors that share memory, as tied weights do.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        items = [
            (_key(key, name), _encode(item, f"{name}.{key}".lstrip("."), tensors))
            for key, item in value.items()
        ]
        return {"dict": [list(item) for item in items]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {
            kind: [_encode(item, f"{name}.{index}".lstrip("."), tensors) for index, item in enumerate(value)]
        }
    raise CheckpointError(
        f"a checkpoint holds tensors and plain data, but {name or 'it'} is a {type(value).__name__}"
    )


def _key(key: Any, name: str) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise CheckpointError(f"keys in a checkpoint are strings and integers, got {key!r} in {name or 'it'}")
    return key


def _decode(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)

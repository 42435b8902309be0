"""A pytree of arrays as one safetensors file: inspectable by name, nothing in it is executed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as serialized

Tree = TypeVar("Tree")
NOTES = "notes"


def save(path: Path, tree: object, notes: Mapping[str, Any] | None = None) -> None:
    """Write every leaf under its path in the tree, and notes as JSON in the file's header, atomically."""
    leaves = {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in _leaves(tree)}
    partial = path.with_suffix(".partial")
    # Not save_file, whose files nobody else may read, whatever the umask.
    partial.write_bytes(serialized(leaves, {NOTES: json.dumps(dict(notes or {}))}))
    os.replace(partial, path)


def load(path: Path, like: Tree) -> Tree:
    """Read a tree of the structure, shapes and dtypes of `like`.

    Raises:
        ValueError: The file is damaged or holds another tree.
    """
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from None
    wanted = {jax.tree_util.keystr(where): leaf for where, leaf in _leaves(like)}
    if different := sorted(stored.keys() ^ wanted.keys()):
        raise ValueError(f"{path} holds another model: {different[0]} is in only one of the two")
    for name, leaf in wanted.items():
        if stored[name].shape != leaf.shape:
            raise ValueError(f"{path}: {name} is {stored[name].shape}, this model has {leaf.shape}")
    leaves = [jnp.asarray(stored[name], leaf.dtype) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def load_notes(path: Path) -> dict[str, Any]:
    """The notes of a file.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            return json.loads((file.metadata() or {}).get(NOTES, "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} can't be read ({error}): start again with overwrite=true")


def _leaves(tree: object) -> list[tuple[tuple, jax.Array]]:
    return jax.tree_util.tree_leaves_with_path(tree)

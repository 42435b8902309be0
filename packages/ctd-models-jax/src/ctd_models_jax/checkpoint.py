"""A pytree of arrays as one safetensors file: inspectable by name, nothing in it is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

Tree = TypeVar("Tree")


def save(path: Path, tree: object) -> None:
    """Write every leaf under its path in the tree, atomically."""
    leaves = {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in _leaves(tree)}
    partial = path.with_suffix(".partial")
    save_file(leaves, partial)
    os.replace(partial, path)


def load(path: Path, like: Tree) -> Tree:
    """Read a tree of the structure, shapes and dtypes of `like`.

    Raises:
        ValueError: The file is damaged or holds another tree.
    """
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} can't be read ({error}): start again with overwrite=true") from None
    wanted = {jax.tree_util.keystr(where): leaf for where, leaf in _leaves(like)}
    if different := sorted(stored.keys() ^ wanted.keys()):
        raise ValueError(f"{path} holds another model: {different[0]} is in only one of the two")
    for name, leaf in wanted.items():
        if stored[name].shape != leaf.shape:
            raise ValueError(f"{path}: {name} is {stored[name].shape}, this model has {leaf.shape}")
    leaves = [jnp.asarray(stored[name], leaf.dtype) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _leaves(tree: object) -> list[tuple[tuple, jax.Array]]:
    return jax.tree_util.tree_leaves_with_path(tree)

"""A file that appears under its name complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import h5py

from . import hdf5
from .errors import ContractError


class AtomicFile:
    """A new HDF5 file beside its final place; `commit` puts it there, `discard` removes it.

    Attributes:
        path: The final place.
        file: The open file.
    """

    def __init__(self, path: Path, *, overwrite: bool):
        if path.exists() and not overwrite:
            raise _exists(path)
        self.path = path
        self._overwrite = overwrite
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            self.file = h5py.File(self._temporary, "w-", libver=hdf5.LIBVER, locking=False)
        except OSError as error:
            raise unwritable(path, error) from error

    def commit(self) -> None:
        """Close the file, bring it to the disk and put it under its name."""
        self.file.close()
        _sync(self._temporary)
        self._rename()
        _sync(self.path.parent)

    def discard(self) -> None:
        """Remove everything that was written."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            # Closing writes what HDF5 still holds; on a full disk that fails and takes the process with it.
            sink = os.open(os.devnull, os.O_RDWR)
            os.dup2(sink, self.file.id.get_vfd_handle())
            os.close(sink)
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self.file.close()
        self._temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Discard the file when the body raises; a system's error becomes a `ContractError`."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if system_error(error):
                raise unwritable(self.path, error) from error
            raise

    def _rename(self) -> None:
        if not self._overwrite:
            try:
                # A link fails where a rename would silently replace what another process just put there.
                os.link(self._temporary, self.path)
            except FileExistsError as error:
                raise _exists(self.path) from error
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                    raise
            else:
                self._temporary.unlink()
                return
        os.replace(self._temporary, self.path)


def system_error(error: BaseException) -> bool:
    """Whether an error comes from the system; h5py raises its own types for some."""
    return isinstance(error, OSError) or _number(error) != 0


def unwritable(path: Path, error: BaseException) -> ContractError:
    """A system's error while writing as a `ContractError`."""
    number = _number(error)
    got = os.strerror(number) if number else " ".join(str(error).split())
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "free some space and run it again" if full else "mend this and run it again"
    return ContractError("CTD601", str(path), "a file that can be written", got, fix)


def _number(error: BaseException) -> int:
    """The system's number of an error, which h5py may put into the text only; 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"errno = (\d+)", str(error)) if isinstance(error, OSError | RuntimeError) else None
    return int(found[1]) if found else 0


def _exists(path: Path) -> ContractError:
    fix = "allow overwriting, or take another name"
    return ContractError("CTD603", str(path), "a name that is free", "an existing file", fix)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

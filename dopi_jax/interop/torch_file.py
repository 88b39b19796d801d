"""PyTorch checkpoint files as numpy arrays, without PyTorch.

A pickle is a program that may call any function. The unpickler here can build tensors and plain containers and nothing else:
a file that asks for more is refused before anything of it runs.
"""

import dataclasses
import io
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from dopi_jax.errors import UserError

# The first two pickles of a file written before PyTorch 1.6, or with `_use_new_zipfile_serialization=False`.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGE_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# What unpickling bytes that are no pickle, or a damaged one, can raise.
_DAMAGE = (
    pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError, OverflowError,
    RecursionError, TypeError, ValueError, struct.error, zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip


def read_torch_file(path: str | pathlib.Path) -> dict[str, Any]:
    """Returns what a file written by `torch.save` holds, usually a state dict.

    Args:
      path: a checkpoint, in the zip format of today or in the one of before 2020.

    Returns:
      Nested dicts, lists and tuples of plain values; tensors are read-only numpy arrays of their own shape and type.

    Raises:
      UserError: the file is not there, is damaged, or asks for anything but tensors and plain containers.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}: expected a PyTorch checkpoint")
    try:
        with path.open("rb") as file:
            content = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    except _Refused as refused:
        raise UserError(f"{path} {refused}") from None
    except _DAMAGE as error:
        raise UserError(
            f"{path} cannot be read as a PyTorch checkpoint ({type(error).__name__}: {error}): it is cut, damaged or "
            "another kind of file"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}: expected a dict of tensors, such as a state dict")
    return content


class _Refused(Exception):
    """Why a file is not read: a sentence that lacks the path before it."""


class _Sealed:
    """What a pickle may be handed, and cannot change afterwards."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _Refused("tries to change its reader: nothing of it was run")


@dataclasses.dataclass(frozen=True)
class _Storage(_Sealed):
    """A run of numbers that tensors are views of."""

    key: str
    dtype: np.dtype
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor(_Sealed):
    """A view of a storage, whose numbers a legacy file has behind the pickle; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as an array, given its storage's numbers."""
        if not all(type(number) is int and number >= 0 for number in (self.offset, *self.shape, *self.strides)):
            raise _Refused("has a tensor that is no view of a storage: it is damaged")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and last >= numbers.size:
            raise _Refused(f"has a tensor that reaches to number {last} of a storage of {numbers.size}: it is damaged")
        strides = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False)


class _Known(_Sealed):
    """A class or function of PyTorch as the unpickler knows it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]):
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)


class _StorageType(_Known):
    __slots__ = ("dtype",)

    def __init__(self, dtype: Any):
        super().__init__(self._refuse)
        self.dtype = np.dtype(dtype)

    def _refuse(self, *_: Any) -> None:
        raise _Refused("makes a storage of its own: it is damaged")


class _PlainDict(dict):
    """An ordered dict, without the attributes that modules of PyTorch put on theirs."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuilt_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise _Refused("has a tensor that is no view of a storage: it is damaged")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN = {
    ("collections", "OrderedDict"): _Known(_PlainDict),
    ("torch", "Size"): _Known(tuple),
    ("torch._utils", "_rebuild_tensor"): _Known(_rebuilt_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Known(_rebuilt_tensor),
    ("torch._utils", "_rebuild_parameter"): _Known(lambda tensor, *_: tensor),
    **{("torch", name): _StorageType(dtype) for name, dtype in _STORAGE_DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Builds plain values, containers and `_Tensor`, and notes the storages that these are views of."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _Refused(
                f"asks for {module}.{name}, which is neither a tensor nor a plain container: nothing of it was run; save "
                "the state dict alone, with torch.save(network.state_dict(), FILE)"
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _device, count, *view = pid
        well_formed = isinstance(storage_type, _StorageType) and isinstance(key, str) and type(count) is int and count >= 0
        if kind != "storage" or not well_formed or any(view):
            raise _Refused(f"refers to a {kind!r} that is no storage of numbers: it is damaged")
        storage = _Storage(key, storage_type.dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise _Refused(f"describes storage {key} in two ways: it is damaged")
        return storage


def _read_legacy(file: BinaryIO) -> Any:
    """Reads pickles one behind the other (magic number, protocol, system, content, keys), then the storages."""
    file.seek(0)
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise _Refused("does not start as a PyTorch checkpoint does: it is another kind of file")
    protocol, system = _Unpickler(file).load(), _Unpickler(file).load()
    if protocol != _LEGACY_PROTOCOL or not system["little_endian"]:
        raise _Refused(f"is of protocol {protocol}, {system}: expected {_LEGACY_PROTOCOL} of a little-endian machine")
    unpickler = _Unpickler(file)
    content, numbers = unpickler.load(), {}
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        data = file.read(8)
        # A count is compared before it is read: the file's word alone allocates nothing.
        if data != struct.pack("<q", storage.count) or len(data := _up_to(file, storage.bytes)) < storage.bytes:
            raise _Refused(f"ends within storage {key} of {storage.count} numbers: it is cut or damaged")
        numbers[key] = np.frombuffer(data, storage.dtype)
    return _with_arrays(content, numbers, {})


def _up_to(file: BinaryIO, count: int) -> bytes:
    """Reads so many bytes, fewer if the file ends before."""
    here = file.tell()
    left = file.seek(0, io.SEEK_END) - here
    file.seek(here)
    return file.read(min(count, left))


def _read_zip(file: BinaryIO) -> Any:
    """Reads the entries FOLDER/data.pkl and FOLDER/data/KEY of an archive."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused(f"is a zip archive with {len(pickles)} entries data.pkl: expected one, as torch.save writes it")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise _Refused("was written on a big-endian machine: expected a little-endian one")
        unpickler = _Unpickler(io.BytesIO(archive.read(pickles[0])))
        content, numbers = unpickler.load(), {}
        for key, storage in unpickler.storages.items():
            entry = archive.getinfo(f"{folder}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != storage.bytes:
                raise _Refused(f"has {entry.file_size} bytes of storage {key}: expected {storage.bytes}, not compressed")
            numbers[key] = np.frombuffer(archive.read(entry), storage.dtype)
    return _with_arrays(content, numbers, {})


def _with_arrays(value: Any, numbers: dict[str, np.ndarray], done: dict[int, Any]) -> Any:
    """Returns the value with arrays for tensors; what occurs in several places is made once, even inside of itself."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Tensor):
        done[id(value)] = value.view(numbers[value.storage.key])
    elif isinstance(value, dict):
        done[id(value)] = {}
        done[id(value)].update((key, _with_arrays(item, numbers, done)) for key, item in value.items())
    elif isinstance(value, list):
        done[id(value)] = []
        done[id(value)].extend(_with_arrays(item, numbers, done) for item in value)
    elif isinstance(value, tuple):
        done[id(value)] = tuple(_with_arrays(item, numbers, done) for item in value)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | set | frozenset):
        return value
    else:
        raise _Refused(f"has a {type(value).__name__} among its values: expected tensors and plain containers")
    return done[id(value)]

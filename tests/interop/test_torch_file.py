"""PyTorch's files, built opcode by opcode: what is read, and what is refused before anything of it runs."""

import builtins
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.interop.torch_file import read_torch_file

PROTO, STOP, EMPTY_DICT = b"\x80\x02", b".", b"}"


def plain(value) -> bytes:
    """Opcodes that push a plain value."""
    return pickle.dumps(value, 2).removeprefix(PROTO).removesuffix(STOP)


def called(name: str, *arguments: bytes) -> bytes:
    """Opcodes that push MODULE.NAME of so many pushed arguments."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def storage(kind: str, key: str, count: int, view: bytes = b"") -> bytes:
    """Opcodes that push a storage, by its persistent identity."""
    return b"(" + plain("storage") + f"ctorch\n{kind}\n".encode() + plain(key) + plain("cpu") + plain(count) + view + b"tQ"


def tensor(of: bytes, offset: int, shape: tuple, strides: tuple) -> bytes:
    hooks = called("collections.OrderedDict")
    return called("torch._utils._rebuild_tensor_v2", of, *map(plain, (offset, shape, strides, False)), hooks)


def mapping(**items: bytes) -> bytes:
    """Opcodes that push a state dict as a module gives it, with an attribute of its own."""
    pushed = b"".join(plain(name) + item for name, item in items.items())
    return called("collections.OrderedDict") + b"(" + pushed + b"u" + plain({"_metadata": {"": {"version": 1}}}) + b"b"


class Files:
    """Writes the same content in both formats."""

    def __init__(self, folder):
        self.folder = folder

    def legacy(self, content: bytes, storages: dict[str, np.ndarray]):
        header = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
        path = self.folder / "legacy.pth"
        path.write_bytes(
            b"".join(pickle.dumps(part, 2) for part in header)
            + PROTO + content + STOP + pickle.dumps(list(storages), 2)
            + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
        )  # fmt: skip
        return path

    def zip(self, content: bytes, storages: dict[str, np.ndarray]):
        path = self.folder / "zip.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", PROTO + content + STOP)
            archive.writestr("archive/byteorder", "little")
            for key, array in storages.items():
                archive.writestr(f"archive/data/{key}", array.tobytes())
        return path


@pytest.fixture(params=["legacy", "zip"])
def write(request, tmp_path):
    return getattr(Files(tmp_path), request.param)


def test_tensors_are_views_of_their_storages(write):
    numbers = np.arange(12, dtype=np.float32)
    floats = storage("FloatStorage", "0", 12)
    content = mapping(
        whole=tensor(floats, 0, (3, 4), (4, 1)),
        transposed=tensor(floats, 0, (4, 3), (1, 4)),
        part=tensor(floats, 5, (2, 2), (4, 1)),
        repeated=tensor(floats, 7, (3,), (0,)),
        scalar=tensor(floats, 11, (), ()),
        empty=tensor(floats, 12, (0, 3), (3, 1)),
        parameter=called("torch._utils._rebuild_parameter", tensor(floats, 0, (2,), (1,)), plain(True), plain(None)),
    )
    read = read_torch_file(write(content, {"0": numbers}))
    want = {
        "whole": numbers.reshape(3, 4),
        "transposed": numbers.reshape(3, 4).T,
        "part": [[5, 6], [9, 10]],
        "repeated": [7, 7, 7],
        "scalar": 11,
        "empty": np.zeros((0, 3)),
        "parameter": [0, 1],
    }
    assert list(read) == list(want) and type(read) is dict
    for name, array in read.items():
        np.testing.assert_array_equal(array, want[name], err_msg=name)
        assert array.shape == np.shape(want[name]) and array.dtype == np.float32 and not array.flags.writeable


@pytest.mark.parametrize(
    "kind, dtype",
    [
        ("DoubleStorage", np.float64), ("FloatStorage", np.float32), ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16), ("LongStorage", np.int64), ("IntStorage", np.int32),
        ("ShortStorage", np.int16), ("CharStorage", np.int8), ("ByteStorage", np.uint8), ("BoolStorage", np.bool_),
    ],
)  # fmt: skip
def test_types_of_numbers(write, kind, dtype):
    numbers = np.array([0, 1, 1.5, 100]).astype(dtype)
    read = read_torch_file(write(mapping(x=tensor(storage(kind, "7", 4), 0, (4,), (1,))), {"7": numbers}))
    assert read["x"].dtype == dtype
    np.testing.assert_array_equal(read["x"], numbers)


def test_checkpoints_nest_containers_and_plain_values(write):
    one = tensor(storage("FloatStorage", "a", 1), 0, (1,), (1,))
    content = b"}(" + plain("epoch") + plain(7) + plain("state_dict") + mapping(weight=one)
    content += plain("rates") + b"](" + plain(0.5) + one + b"e" + plain("best") + plain((None, "x", True)) + b"u"
    read = read_torch_file(write(content, {"a": np.float32([3])}))
    assert read == {"epoch": 7, "state_dict": {"weight": [3]}, "rates": [0.5, [3]], "best": (None, "x", True)}


def test_a_list_inside_of_itself_ends(write):
    read = read_torch_file(write(b"}" + plain("loop") + b"]q\x63h\x63as", {}))
    assert read["loop"][0] is read["loop"]


@pytest.fixture
def trap(monkeypatch):
    """What must not be called."""
    for module, name in ((os, "system"), (builtins, "eval")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("code of the file ran"))


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("os.system", [plain("true")]),
        ("posix.system", [plain("true")]),
        ("builtins.eval", [plain("1")]),
        ("builtins.getattr", [plain("x"), plain("upper")]),
        ("builtins.__import__", [plain("os")]),
        ("torch._utils._rebuild_tensor_v3", []),
        ("torch.nn.modules.linear.Linear", []),
        ("collections.Counter", []),
    ],
)
def test_whatever_builds_no_tensor_is_refused_by_name(write, trap, name, arguments):
    path = write(b"}" + plain("x") + called(name, *arguments) + b"s", {})
    with pytest.raises(UserError, match=rf"{path.name} asks for {name}, which is neither .* nothing of it was run"):
        read_torch_file(path)


def test_code_before_the_magic_number_of_a_legacy_file_is_refused(tmp_path, trap):
    path = tmp_path / "legacy.pth"
    path.write_bytes(PROTO + called("os.system", plain("true")) + STOP)
    with pytest.raises(UserError, match="asks for os.system"):
        read_torch_file(path)


TENSOR = tensor(storage("FloatStorage", "0", 4), 0, (4,), (1,))


@pytest.mark.parametrize(
    "changed",
    [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", storage("FloatStorage", "0", 4), TENSOR],
    ids=["function", "storage type", "storage", "tensor"],
)
@pytest.mark.parametrize("state", [{"offset": 9, "count": 99}, (None, {"_make": 1, "dtype": 2, "offset": 9})])
def test_a_pickle_cannot_change_its_reader(write, changed, state):
    path = write(b"}" + plain("x") + TENSOR + plain("y") + changed + plain(state) + b"b0", {"0": np.zeros(4, np.float32)})
    with pytest.raises(UserError, match="tries to change its reader"):
        read_torch_file(path)


@pytest.mark.parametrize(
    "value, sentence",
    [
        (tensor(storage("FloatStorage", "0", 4), 1, (4,), (1,)), "reaches to number 4 of a storage of 4"),
        (tensor(storage("FloatStorage", "0", 4), 0, (2, 2), (4, 1)), "reaches to number 5 of a storage of 4"),
        (tensor(storage("FloatStorage", "0", 4), -1, (4,), (1,)), "no view of a storage"),
        (tensor(storage("FloatStorage", "0", 4), 3, (4,), (-1,)), "no view of a storage"),
        (tensor(storage("FloatStorage", "0", 4), 0, (2.0,), (1,)), "no view of a storage"),
        (tensor(storage("FloatStorage", "0", 4), 0, (2, 2), (1,)), "cannot be read as a PyTorch checkpoint"),
        (tensor(plain("0"), 0, (4,), (1,)), "no view of a storage"),
        (tensor(storage("FloatStorage", "0", 4, plain(("1", 0, 4))), 0, (4,), (1,)), "is no storage of numbers"),
        (tensor(storage("FloatStorage", "0", -4), 0, (0,), (1,)), "is no storage of numbers"),
        (called("torch.FloatStorage", plain(4)), "makes a storage of its own"),
        (TENSOR + b"s" + plain("y") + b"ctorch\nFloatStorage\n", "has a _StorageType among its values"),
        (TENSOR + b"s" + plain("y") + tensor(storage("HalfStorage", "0", 8), 0, (8,), (1,)), "storage 0 in two ways"),
    ],
)
def test_tensors_that_are_none_are_refused(write, value, sentence):
    path = write(b"}" + plain("x") + value + b"s", {"0": np.zeros(4, np.float32)})
    with pytest.raises(UserError, match=sentence):
        read_torch_file(path)


def test_a_storage_that_the_file_only_claims_is_refused(write):
    path = write(mapping(x=tensor(storage("FloatStorage", "0", 2**40), 0, (2**40,), (1,))), {"0": np.zeros(4, np.float32)})
    with pytest.raises(UserError, match=r"storage 0( of 1099511627776 numbers)?: "):
        read_torch_file(path)


def test_a_cut_file_is_refused_wherever_it_is_cut(write):
    path = write(mapping(x=TENSOR), {"0": np.zeros(4, np.float32)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"^\S*{path.name} [^\n]*$"):
            read_torch_file(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    with pytest.raises(UserError, match=r"no file .*other.pth"):
        read_torch_file(path)
    for content, sentence in (
        (b"not a pickle", "cannot be read"), (pickle.dumps(1), "another kind of file"), (b"\x89PNG\r\n", "cannot be read")
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UserError, match="0 entries data.pkl"):
        read_torch_file(path)
    path = Files(tmp_path).zip(plain([1, 2]), {})
    with pytest.raises(UserError, match="holds a list: expected a dict"):
        read_torch_file(path)

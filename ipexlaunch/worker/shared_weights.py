"""One copy of a model's weights for all workers of the same memory nodes: `shared_weights()`, `shared_weights_file()`.

For every set of nodes the launcher has empty files in memory (memfd_create(2)). The first worker that asks for the
weights of a directory fills one of them, under its own memory policy, so that they lie on its nodes, and seals it. The
others wait for its lock and map the same pages. A file without a seal is empty, or was left half full by a worker that
died, and is filled again; a sealed one cannot be changed by anybody. None has a name in any file system: they are gone
with the last process that has them, whatever ends it.

Like ipexlaunch.worker this needs nothing but the standard library of Python 3.6, but for tensors, which are torch's.
Layout: https://huggingface.co/docs/safetensors (length of the header in 8 bytes, header as JSON, data).
"""

import ctypes
import fcntl
import json
import mmap
import os
from collections import namedtuple
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch

SHARED_FILES = "IPEXLAUNCH_SHARED_FILES"
"""Environment variable with the files' name and, after a colon, their paths."""

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 2, 4, 8
"""Source: include/uapi/linux/fcntl.h; Python's fcntl has them from 3.9 on."""

MAP_NORESERVE = 0x4000
"""Pages that nobody writes need not be promised. Source: include/uapi/asm-generic/mman.h"""

TYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1), "BOOL": ("bool", 1),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1),
    "U64": ("uint64", 8), "U32": ("uint32", 4), "U16": ("uint16", 2), "U8": ("uint8", 1),
}  # fmt: skip
"""safetensors' names to torch's, and bytes of each."""

FLOATS = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}

ALIGNMENT = 64
"""A line of the cache; the layout allows no gaps. What is as long as some whole lines comes first, so each of these
begins one: AMX reads a row of a matrix by lines. The others follow from the widest type to the narrowest, so each is
aligned to its own size."""

_Tensor = namedtuple("_Tensor", "name path code shape begin end")
"""Where a tensor stands: bytes of the file."""

_own: "dict[str, int]" = {}
"""What this process has loaded for itself: where from, and the descriptor."""


def shared_weights(directory: str, dtype: str = "") -> "dict[str, torch.Tensor]":
    """The tensors of a directory's *.safetensors files, in memory that all workers of the same nodes share.

        model = BertModel.from_pretrained(None, config=config, state_dict=worker.shared_weights(directory))
        model.load_state_dict(worker.shared_weights(directory), assign=True)  # of one that was made on "meta"

    What a worker writes into them is its own from then on, a page at a time. On its own a script just loads them.

    Args:
        directory: of the model.
        dtype: "fp32", "bf16" or "fp16" converts floating-point tensors, once for all; "" leaves them as they are.

    Raises:
        ValueError: the directory has no such files, they are damaged, or there is no such dtype.
        OSError: they cannot be read, or there is no memory for them.
    """
    import torch

    with open(shared_weights_file(directory, dtype), "rb") as file:
        tensors = _tensors_in(file, "shared weights")
        flags, access = mmap.MAP_PRIVATE | MAP_NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        memory = mmap.mmap(file.fileno(), 0, flags=flags, prot=access)
    found = {}
    for tensor in tensors:
        kind, size = getattr(torch, TYPES[tensor.code][0]), tensor.end - tensor.begin
        count = size // TYPES[tensor.code][1]
        flat = (
            torch.frombuffer(memory, dtype=kind, count=count, offset=tensor.begin)
            if size
            else torch.empty(0, dtype=kind)
        )
        found[tensor.name] = flat.view(tensor.shape)
    return found


def shared_weights_file(directory: str, dtype: str = "") -> str:
    """The path of one safetensors file in memory with the same tensors, for programs that map it themselves.

    Any process of the run can open it as long as the run lasts; of a script on its own, as long as that lives.

    Args:
        directory: as in `shared_weights`.
        dtype: likewise.

    Raises:
        ValueError: as in `shared_weights`.
        OSError: likewise.
    """
    if dtype and dtype not in FLOATS:
        raise ValueError(f"shared_weights(dtype={dtype!r}): it can be {', '.join(FLOATS)}, or '' for the files' own")
    tensors, source = _tensors_of(directory, dtype)
    if source in _own:
        return f"/proc/{os.getpid()}/fd/{_own[source]}"
    name, _, paths = os.environ.get(SHARED_FILES, "").partition(":")
    for path in paths.split(",") if paths else ():
        descriptor = _opened(path, name)
        if descriptor is None:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not fcntl.fcntl(descriptor, F_GET_SEALS) & F_SEAL_WRITE:
                _fill(descriptor, tensors, source, dtype)
                fcntl.fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
                return path
            with open(descriptor, "rb", closefd=False) as file:
                if _header_of(file, path)[0]["__metadata__"]["source"] == source:
                    return path
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile must not keep it
            os.close(descriptor)
    descriptor = _memory()
    _fill(descriptor, tensors, source, dtype)
    _own[source] = descriptor
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _opened(path: str, name: str) -> "int | None":
    """One of the launcher's files; None where it is out of reach: another user's by now, or a container's own /proc."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC) if os.readlink(path) == f"/memfd:{name} (deleted)" else None
    except OSError:
        return None


def _memory() -> int:
    """An empty file in memory of this process's own."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ipexlaunch-weights")
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)  # before Python 3.8


def _tensors_of(directory: str, dtype: str) -> "tuple[list[_Tensor], str]":
    """Every tensor of the directory, and words that tell it from another or a later one."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(".safetensors"))
    if not names:
        raise ValueError(f"{directory} holds no *.safetensors; model.save_pretrained(directory) writes them")
    tensors, seen, stamps = [], {}, []  # type: list[_Tensor], dict[str, str], list[Any]
    for path in (os.path.join(directory, name) for name in names):
        with open(path, "rb") as file:
            state = os.fstat(file.fileno())
            stamps.append([state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns])
            tensors += _tensors_in(file, path)
    for tensor in tensors:
        if seen.setdefault(tensor.name, tensor.path) != tensor.path:
            raise ValueError(
                f"{directory}: {tensor.name} is in {seen[tensor.name]} and {tensor.path}; keep one of them"
            )
    return tensors, json.dumps([dtype, stamps])


def _header_of(file: BinaryIO, path: str) -> "tuple[dict[str, Any], int]":
    """The header of a safetensors file, and where its data begin."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    try:
        if length > size - 8:
            raise ValueError(f"its header would have {length} bytes of {size}")
        header = json.loads(file.read(length).decode())
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
    except ValueError as error:
        raise ValueError(f"{path} is no safetensors file, or was cut short: {error}") from None
    return header, 8 + length


def _tensors_in(file: BinaryIO, path: str) -> "list[_Tensor]":
    header, start = _header_of(file, path)
    size, tensors = os.fstat(file.fileno()).st_size, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            count = 1
            for length in shape:
                count *= length
            if code not in TYPES or end - begin != count * TYPES[code][1] or not 0 <= begin <= end <= size - start:
                raise ValueError(f"{code} {shape} in bytes {begin} to {end} of {size - start}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: its tensor {name} cannot be read: {error}") from None
        tensors.append(_Tensor(name, path, code, shape, start + begin, start + end))
    return tensors


def _fill(descriptor: int, tensors: "list[_Tensor]", source: str, dtype: str) -> None:
    """Write all tensors into an empty file, or one that was left half full, in the layout of safetensors."""
    floats = {"F64", *FLOATS.values()} if dtype else set()
    codes = {tensor.name: FLOATS[dtype] if tensor.code in floats else tensor.code for tensor in tensors}
    widths = {tensor.name: TYPES[codes[tensor.name]][1] for tensor in tensors}
    sizes = {
        tensor.name: (tensor.end - tensor.begin) // TYPES[tensor.code][1] * widths[tensor.name] for tensor in tensors
    }
    ordered = sorted(tensors, key=lambda tensor: (sizes[tensor.name] % ALIGNMENT > 0, -widths[tensor.name]))
    header, at = {"__metadata__": {"format": "pt", "source": source}}, 0  # type: dict[str, Any], int
    for tensor in ordered:
        end = at + sizes[tensor.name]
        header[tensor.name] = {"dtype": codes[tensor.name], "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    os.ftruncate(descriptor, 0)
    with open(descriptor, "wb", closefd=False) as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            with open(tensor.path, "rb") as file:
                if codes[tensor.name] != tensor.code:
                    _convert(file, tensor, codes[tensor.name], out)
                    continue
                out.flush()
                begin = tensor.begin
                while begin < tensor.end:
                    sent = os.sendfile(descriptor, file.fileno(), begin, tensor.end - begin)
                    if not sent:
                        raise ValueError(f"{tensor.path} was cut short while it was read")
                    begin += sent


def _convert(file: BinaryIO, tensor: _Tensor, code: str, out: BinaryIO) -> None:
    """Append a tensor in another type."""
    import torch

    data = bytearray(tensor.end - tensor.begin)
    file.seek(tensor.begin)
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]  # of io.BufferedReader
        raise ValueError(f"{tensor.path} was cut short while it was read")
    if data:
        known = torch.frombuffer(data, dtype=getattr(torch, TYPES[tensor.code][0]))
        wanted = known.to(getattr(torch, TYPES[code][0]))
        out.write((ctypes.c_char * (wanted.numel() * TYPES[code][1])).from_address(wanted.data_ptr()))

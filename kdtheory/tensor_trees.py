"""Trees of tensors and plain values as bytes in the format safetensors, and back; nothing is executed.

Eight bytes say how long the header is, which is JSON: name ↦ dtype, shape, place of the bytes; the numbers
follow, little-endian, in the order of the header. The tree itself, with the tensors' names in their places,
is the text "tree" of the header's metadata, and "sha256" there is that of the rest of the header and of the
numbers.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdtheory.doors import gate

__all__ = ["from_bytes", "to_bytes"]

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_PLAIN = (str, int, float, bool, type(None))


@gate
def to_bytes(tree: Any, /) -> bytes:
    """A tree of dicts, lists, tuples, tensors and plain values as one file of safetensors.

    Raises:
        ValueError: something else is in it; its place is named.

    >>> from_bytes(to_bytes({"steps": 3, "rates": (0.1, torch.tensor([1.0, 2.0]))}))
    {'steps': 3, 'rates': (0.1, tensor([1., 2.]))}
    """
    tensors: list[Tensor] = []
    told = json.dumps(_told(tree, tensors, "the tree"))
    header: dict[str, Any] = {"__metadata__": {"tree": told}}
    parts, place = [], 0
    for name, tensor in enumerate(tensors):
        flat = tensor.detach().cpu().resolve_neg().resolve_conj().contiguous().reshape(-1)
        content = flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""
        ends = [place, place := place + len(content)]
        header[str(name)] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": ends}
        parts.append(content)
    header["__metadata__"]["sha256"] = _digest(header, parts)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return b"".join([len(head).to_bytes(8, "little"), head, *parts])


@gate
def from_bytes(content: bytes, /) -> Any:
    """The tree that `to_bytes` made a file of.

    Raises:
        ValueError: it is no such file, is cut short, or has changed since.
    """
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        numbers = memoryview(content)[8 + size :]
        written = header["__metadata__"].pop("sha256", None)  # of a file before there was one, None
        if written is not None and written != _digest(header, [numbers]):
            raise ValueError("it is not as it was written")
        tree = json.loads(header.pop("__metadata__")["tree"])
        tensors = {name: _tensor(entry, numbers) for name, entry in header.items()}
        return _tree(tree, tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"no tree of tensors ({error}); it is cut short, or not from here") from error


def _digest(header: Mapping[str, Any], numbers: Sequence[bytes | memoryview]) -> str:
    digest = hashlib.sha256(json.dumps(header).encode())
    for part in numbers:
        digest.update(part)
    return digest.hexdigest()


def _told(tree: Any, tensors: list[Tensor], place: str) -> Any:
    """The tree as JSON has it; its tensors go to the list."""
    if isinstance(tree, Tensor):
        if tree.dtype not in _NAMES or tree.layout is not torch.strided or sys.byteorder != "little":
            kind = f"{tree.dtype}, {tree.layout}".removesuffix(", torch.strided")
            raise ValueError(f"{place} is a tensor of {kind}, which the format does not have")
        tensors.append(tree)
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(tree, Mapping):
        return {"dict": [[_told(key, tensors, place), _told(value, tensors, f"{place}[{key!r}]")]
                         for key, value in tree.items()]}  # fmt: skip
    if isinstance(tree, tuple):
        return {"tuple": [_told(value, tensors, f"{place}[{i}]") for i, value in enumerate(tree)]}
    if isinstance(tree, list):
        return [_told(value, tensors, f"{place}[{i}]") for i, value in enumerate(tree)]
    if not isinstance(tree, _PLAIN):
        raise ValueError(f"{place} is a {type(tree).__name__}, which cannot be kept; give numbers or tensors")
    return tree


def _tensor(entry: Mapping[str, Any], content: memoryview) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    count = torch.Size(shape).numel()
    if end - begin != count * dtype.itemsize or not 0 <= begin <= end <= len(content):
        raise ValueError(f"{end - begin} bytes for {shape} numbers, {len(content)} in all")
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content[begin:end]), dtype=dtype).reshape(shape)


def _tree(told: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(told, list):
        return [_tree(value, tensors) for value in told]
    if not isinstance(told, dict):
        return told
    ((kind, content),) = told.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_tree(key, tensors): _tree(value, tensors) for key, value in content}
    return tuple(_tree(value, tensors) for value in content)

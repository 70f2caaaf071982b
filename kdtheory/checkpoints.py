"""Checkpoints of a training on the disk, from which it goes on as if it had never been broken off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdtheory.doors import door
from kdtheory.files import sweep_beside, write_file
from kdtheory.tensor_trees import from_bytes, to_bytes
from kdtheory.validate import check_at_least

__all__ = ["Checkpoint"]


@door
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One file, `path`, written whole or not at all every so many steps and at the end; format safetensors.

    It holds parameters, buffers and extra states of modules, the states of optimiser, schedule, averages,
    validation and random generators, the place in the epoch, and the history. A training that is called again
    with the same arguments and `resume` goes on from it, and ends with bitwise the parameters of one that was
    not broken off: the batches of the epoch that were seen are loaded again and dropped. That is so where
    what the data draw is drawn from torch's default generator, as a DataLoader's order is, or from the
    DataLoader's own, and where modules keep nothing in other attributes but what `get_extra_state` tells.
    Another recipe, stream, loss, teacher or validation is refused, and so are other data, as far as they can
    be looked at without drawing; where the student starts is not looked at, for the file has its parameters.

    Args:
        path: of the file.
        every: steps between two writings; None writes at the end of each epoch.
        resume: go on from the file where there is one; else a file that is there already is refused.

    Raises:
        ValueError: `every` < 1.

    >>> import tempfile, torch
    >>> from kdtheory import Recipe, Stream
    >>> from kdtheory.schemes import Loop, fit
    >>> points, recipe = (torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])), Recipe(steps=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = Checkpoint(path=Path(folder) / "net.safetensors", every=2, resume=True)
    ...     one, two = (fit(torch.nn.Linear(1, 2), points, recipe=recipe, stream=Stream(0),
    ...         loop=Loop(checkpoint=kept)) for _ in range(2))
    >>> bool((one.module.weight == two.module.weight).all())  # the second had nothing left to do
    True
    """

    path: str | Path
    every: int | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.every is not None:
            check_at_least("every", self.every, 1)

    def child(self, name: str, /) -> Checkpoint:
        """The checkpoint of a part of the training, in a file beside this one."""
        path = Path(self.path)
        return replace(self, path=path.with_name(f"{path.stem}-{name}{path.suffix}"))

    def load(self) -> Any:
        """The state that was kept, or None where nothing was.

        Raises:
            ValueError: there is a file and `resume` is not asked for, or it cannot be read.
        """
        path = Path(self.path)
        if self.resume:
            sweep_beside(path)
        if not path.exists():
            return None
        if not self.resume:
            raise ValueError(f"{path} is there already; give resume=True to go on from it, or another path")
        try:
            return from_bytes(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, state: Any, /) -> None:
        """Keep the state of a training.

        Raises:
            ValueError: the file cannot be written, or the state holds what is neither number nor tensor.
        """
        write_file(Path(self.path), to_bytes(state))

"""The run that an experiment is made in: its random stream, the tier, the data and the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdtheory.datasets import Images, load_images
from kdtheory.datasets.idx import DEEPEST
from kdtheory.doors import gate, remembered
from kdtheory.streams import Stream
from kdtheory.validate import check_one_of

__all__ = ["Run"]


@gate
@dataclass(frozen=True)
class Run:
    """The surroundings of an experiment: its random stream, the tier, the data and the device.

    Args:
        stream: where its random numbers start; each experiment has a stream of its own below the seed.
        tier: "quick" or "full": sample sizes, never what is claimed.
        data: a folder of IDX files, or None for the embedded digits.
        device: where networks are trained; "auto" is CUDA where there is one.

    Raises:
        ValueError: the tier is not known.
    """

    stream: Stream
    tier: str = "quick"
    data: Path | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_one_of("tier", self.tier, ("quick", "full"))

    def size(self, *, quick: int, full: int) -> int:
        """The sample size of this tier, fixed before the run."""
        return quick if self.tier == "quick" else full

    @property
    def images(self) -> Images:
        """The real images of this run."""
        return _images(self.data, self.stamp)

    @property
    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of each file of the data: other ones are other data."""
        if self.data is None or not (folder := self.data.expanduser()).is_dir():
            return ()
        below = sorted(
            path for depth in range(1, DEEPEST + 1) for path in folder.glob("/".join(["*"] * depth))
        )
        stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in below if path.is_file()]
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@remembered
def _images(data: Path | None, _stamp: tuple[tuple[str, int, int], ...]) -> Images:
    return load_images(data)

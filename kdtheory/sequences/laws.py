"""Laws of sequences as tables: every next-token law of an autoregressive model, prefix by prefix.

P(y) = Π_t p_t(y_t | y_{<t}) on V^H: H tokens from a vocabulary of V. The table of step t has V^{t+1} entries,
so that sums over all sequences are exact; a vocabulary of 5 and a horizon of 4 settle most questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import alike
from kdtheory.streams import Stream
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_probs

__all__ = ["SequenceLaw"]

_LARGEST_TABLE = 10**7
_MOST_TOKENS = 10**9


@door
@dataclass(frozen=True, eq=False)
class SequenceLaw:
    """P(y) = Π_t p_t(y_t | y_{<t}), by its next-token laws.

    Args:
        steps: the table of step t = 0 … H−1 has the shape (V,)·(t+1): the tokens so far, then the next one.

    Raises:
        ValueError: no step, a table of another shape, or rows that are no probabilities.

    >>> coin = torch.tensor([0.25, 0.75], dtype=torch.float64)
    >>> SequenceLaw((coin, coin.expand(2, 2))).joint()
    tensor([[0.0625, 0.1875],
            [0.1875, 0.5625]], dtype=torch.float64)
    """

    steps: tuple[Float[Tensor, "..."], ...]

    def __post_init__(self) -> None:
        check_at_least("the number of steps", len(self.steps), 1)
        if self.steps[0].ndim != 1:
            shape = tuple(self.steps[0].shape)
            raise ValueError(f"steps[0] has shape {shape}; give (V,): the law of the first token")
        vocabulary = self.steps[0].shape[-1]
        for step, table in enumerate(self.steps):
            if table.shape != (vocabulary,) * (step + 1):
                raise ValueError(
                    f"steps[{step}] has shape {tuple(table.shape)}; give {(vocabulary,) * (step + 1)}: "
                    "an axis for each token before, and one for the next"
                )
            check_probs(f"steps[{step}]", table)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.steps[0].shape[-1]

    @property
    def horizon(self) -> int:
        """H."""
        return len(self.steps)

    def prefixes(self) -> list[Float[Tensor, "..."]]:
        """The probability of every prefix y_{<t}, t = 0 … H−1: shapes (), (V,), (V, V), …; ≥ float32."""
        tables = at_least_float32(*self.steps)
        probs = [tables[0].new_ones(())]
        for table in tables[:-1]:
            probs.append(probs[-1][..., None] * table)
        return probs

    def joint(self) -> Float[Tensor, "..."]:
        """P(y) of every sequence, H axes of V; float32 at least."""
        return self.prefixes()[-1][..., None] * at_least_float32(self.steps[-1])[0]

    def log_joint(self) -> Float[Tensor, "..."]:
        """ln P(y) of every sequence, H axes of V: of those, too, whose P(y) is too small for a float.

        >>> rare = torch.tensor([1e-30, 1.0])
        >>> SequenceLaw((rare, rare.expand(2, 2))).log_joint()[0, 0] / torch.tensor(10.0).log()
        tensor(-60.)
        """
        tables = at_least_float32(*self.steps)
        logs = tables[0].log()
        for table in tables[1:]:
            logs = logs[..., None] + table.log()
        return logs

    def log_probs(self, tokens: Int[Tensor, "n horizon"], /) -> Float[Tensor, "n horizon"]:
        """ln p_t(y_t | y_{<t}) of every token of given sequences.

        Raises:
            ValueError: sequences of another length, or tokens outside the vocabulary.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.horizon:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; give n × {self.horizon}")
        if not bool(((tokens >= 0) & (tokens < self.vocabulary)).all()):
            raise ValueError(f"tokens must lie in 0 to {self.vocabulary - 1}")
        columns = tokens.long().T
        tables = at_least_float32(*self.steps)
        logs = [table[tuple(columns[: step + 1])].log() for step, table in enumerate(tables)]
        return torch.stack(logs, 1)

    def sample(self, n: int, stream: Stream, /) -> Int[Tensor, "n horizon"]:
        """n independent sequences, token after token.

        Raises:
            ValueError: n < 1, or more than 10⁹ tokens.
        """
        check_at_least("n", n, 1)
        if n * self.horizon > _MOST_TOKENS:
            raise ValueError(
                f"n = {n} sequences of {self.horizon} tokens are too many; give 10⁹ tokens at most"
            )
        generator = stream.torch()
        tokens = torch.empty(n, 0, dtype=torch.long, device=self.steps[0].device)
        for table in self.steps:
            laws = table[tuple(tokens.T)].expand(n, -1)
            drawn = torch.multinomial(laws.cpu(), 1, generator=generator)  # the same on every device
            tokens = torch.cat((tokens, drawn.to(tokens.device)), 1)
        return tokens

    @classmethod
    def random(cls, vocabulary: int, horizon: int, stream: Stream, /, *, spread: float = 1.0) -> SequenceLaw:
        """A law whose logits are independent N(0, spread²), float64.

        Raises:
            ValueError: a table of more than 10⁷ entries.
        """
        _check_table(vocabulary, horizon)
        generator = stream.torch()
        shapes = [(vocabulary,) * (step + 1) for step in range(horizon)]
        draws = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
        return cls(tuple((spread * logits).softmax(-1) for logits in draws))

    @classmethod
    def of_net(
        cls, net: Callable[[Tensor], Tensor], /, *, vocabulary: int, horizon: int, start: Sequence[int] = (0,)
    ) -> SequenceLaw:
        """The law of a causal network, by running it on every sequence.

        Args:
            net: tokens (n, L) to logits (n, L, V): those at a place belong to the token after it.
            vocabulary: V; further columns of the logits are left out before the softmax.
            horizon: H.
            start: what stands before the first token, one token or more.

        Raises:
            ValueError: a table of more than 10⁷ entries, no start, logits of another shape, or logits that
                depend on later tokens or on chance.
        """
        _check_table(vocabulary, horizon)
        check_at_least("the length of start", len(start), 1)
        tokens = torch.cartesian_prod(*(torch.arange(vocabulary),) * horizon).reshape(-1, horizon)
        shown = torch.cat((torch.tensor(list(start)).expand(len(tokens), -1), tokens[:, :-1]), 1)
        logits = net(shown)
        if logits.ndim != 3 or logits.shape[:2] != shown.shape or logits.shape[2] < vocabulary:
            raise ValueError(
                f"net gives {tuple(logits.shape)} for tokens {tuple(shown.shape)}; give n × L × V logits"
            )
        laws = logits[:, len(start) - 1 :, :vocabulary].double().softmax(-1)
        laws = laws.unflatten(0, (vocabulary,) * horizon)
        steps = []
        for step in range(horizon):  # the same at every continuation: take the first
            steps.append(laws[(slice(None),) * step + (0,) * (horizon - step) + (step,)])
            every = laws[..., step, :].reshape(vocabulary**step, -1, vocabulary)
            first = steps[-1].reshape(-1, 1, vocabulary).expand_as(every)
            if not alike(first.flatten(0, 1), every.flatten(0, 1)):
                raise ValueError(
                    f"net gives other logits at place {step} with other tokens after it, or by chance; give "
                    "a causal network, in evaluation mode"
                )
        return cls(tuple(steps))


def _check_table(vocabulary: int, horizon: int) -> None:
    check_at_least("vocabulary", vocabulary, 2)
    check_at_least("horizon", horizon, 1)
    if vocabulary**horizon > _LARGEST_TABLE:
        raise ValueError(
            f"vocabulary = {vocabulary} and horizon = {horizon} make {vocabulary**horizon:.1e} sequences; "
            f"give at most {_LARGEST_TABLE:.0e}"
        )

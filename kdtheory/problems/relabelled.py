"""Real images under a known truth: the labels are drawn anew from a fixed net's softened output."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.datasets import Images
from kdtheory.doors import door
from kdtheory.problems.finite import FiniteWorld, first_twins
from kdtheory.validate import check_logits, check_positive

__all__ = ["relabelled_images"]


@door
def relabelled_images(
    images: Images, logits: Float[Tensor, "n k"], /, *, temperature: float = 1.0
) -> FiniteWorld:
    """x uniform on the real images, with replacement; p*(x_i) = φ_T(z_i) = softmax(z_i / T).

    The inputs are real and the truth is known: every risk is a sum over the images. The images' own labels
    play no part. A pixel-for-pixel repeated image keeps the logits of its first copy, so that p* stays a
    function of x.

    Args:
        images: the real images.
        logits: z_i, the outputs of a fixed net on them, in their order.
        temperature: T > 0 that softens them.

    Raises:
        ValueError: not one row of logits for each image, logits that are not finite, or T ≤ 0.

    >>> from kdtheory.datasets import digits
    >>> world = relabelled_images(digits(), torch.zeros(1797, 10), temperature=2.0)
    >>> round(world.bayes_error, 6)  # uniform p*: 9/10
    0.9
    """
    check_positive("temperature", temperature)
    check_logits("logits", logits)
    if logits.ndim != 2 or len(logits) != images.num_images:
        shown = tuple(logits.shape)
        raise ValueError(f"logits has shape {shown}; give one row for each of the {images.num_images} images")
    softened = logits.detach().cpu().to(torch.float64) / temperature
    probs = softened.softmax(-1)[first_twins(images.inputs)]
    weights = torch.full((images.num_images,), 1 / images.num_images, dtype=torch.float64)
    return FiniteWorld(images.inputs, weights, probs)

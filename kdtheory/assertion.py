"""A claim as a test: what came out otherwise than it should, in words, and the assertion that nothing did."""

from __future__ import annotations

from kdtheory.claims import Claim, Plan, Verdict
from kdtheory.claims.evidence import Failure, OutOfScope
from kdtheory.claims.finding import Finding
from kdtheory.doors import door
from kdtheory.ledger import verify

__all__ = ["assert_claim", "shortcomings"]


@door
def assert_claim(
    claim: Claim | str,
    plan: Plan = Plan(mutants=True),  # noqa: B008 — it is frozen
    /,
    *,
    alpha: float = 0.05,
) -> Finding:
    """Execute a claim and assert that it and its controls come out as declared, and mutants are noticed.

    Args:
        claim: the claim, or the name of one of the package.
        plan: seed, tier, data, device, and whether mutants are run.
        alpha: the error rate of this one claim; of m claims that are asserted by themselves one is refuted by
            chance with probability up to m·alpha.

    Returns:
        What was found.

    Raises:
        AssertionError: something came out otherwise; the message has a line for each.
        ValueError: the claim is not known, or cites what no bibliography has.

    >>> assert_claim("kd_gradient_is_the_closed_form").verdict.name
    'SUPPORTED'
    """
    (found,) = verify(claim, plan, alpha=alpha, progress=False)
    if wrong := shortcomings(found):
        lines = "".join(f"\n  {what}: {said}" for what, said in wrong.items())
        raise AssertionError(f"claim {found.name}{lines}")
    return found


@door
def shortcomings(found: Finding, /) -> dict[str, str]:
    """Outcomes that are not as declared: the premise, each control, each mutant; empty where nothing."""
    wrong = {}
    if not found.as_expected:
        wrong["premise"] = (
            f"{found.verdict.name}, expected {found.expected.name}. {found.verdict.value} {reason(found)}"
        )
    for one in found.controls:
        if not one.as_expected:
            said = f"{one.verdict.name}, declared {found.brings.name}; {one.evidence.key_figure}"
            wrong[f"control {one.because}"] = said
    runs = not isinstance(found.evidence, Failure)
    for name in found.mutants.survivors if found.mutants else ():
        wrong[f"mutant {name}"] = (
            "not noticed: the verdict stays as it is" if runs else "not told: the check fails without it, too"
        )
    return wrong


def reason(found: Finding, /) -> str:
    """The key figure of the premise; of a check that could not run, its error."""
    match found.evidence:
        case Failure(error=error, traceback=trace):
            return f"{error}\n{trace}"
        case OutOfScope() as outside:
            return outside.key_figure
        case evidence:
            return evidence.key_figure


def out_of_scope(found: Finding, /) -> bool:
    """Whether the claim says nothing of these data, which is no failure of it."""
    return found.verdict is Verdict.OUT_OF_SCOPE

"""The public door: points and predictors come in, are checked once, and become a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtheory.certify.case import Case, Said, said_by
from kdtheory.certify.plan import ShipPlan, WitnessPlan
from kdtheory.certify.result import Certificates
from kdtheory.certify.shares import certificates
from kdtheory.certify.word import Word
from kdtheory.certify.workshop import Workshop
from kdtheory.doors import door
from kdtheory.networks import MLP, Architecture, Pick
from kdtheory.progress import Progress, Tell, told
from kdtheory.role_rows import check_rows
from kdtheory.roles import Arguments, HoldOut, Role, Train, Unlabelled
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["certify"]

_HIDDEN = 256


@door
@as_torch_starts()
def certify(
    teacher: nn.Module | Mapping[str, Any],
    /,
    student: nn.Module | Mapping[str, Any] | None = None,
    *,
    train: Any = None,
    holdout: Any = None,
    unlabelled: Any = None,
    fixed_in_advance: bool,
    unmet: str | Iterable[str] = (),
    delta: float = 0.05,
    gamma: float | Sequence[float] = 1.0,
    shares: Mapping[str, float] | None = None,
    witness: str | WitnessPlan | None = None,
    prior: float | nn.Module | None = None,
    ship: bool | ShipPlan = False,
    may_share: Iterable[tuple[str, str]] = (),
    may_repeat: Iterable[str] = (),
    stream: Stream | None = None,
    device: str | torch.device = "auto",
    batch_size: int = 1024,
    output: Pick | None = None,
    progress: Progress = None,
) -> Certificates:
    """Every bound on Pr[argmax f(x) ≠ y] that applies to a teacher f, at one δ for all; why others do not.

    Honest by roles: `train` may have been seen by anyone, so that what is computed there holds for whole
    classes or codes, or is marked a heuristic; nobody who made or chose f and g has seen `holdout` and
    `unlabelled` points. A point that sits in two roles, or twice in one, is refused. Give examples before
    augmentation: versions of one example are no independent draws, and near copies are not noticed.

    δ is split before anything is computed: by fixed parts (`PARTS` is their version), 8 for a hold-out or
    what is tested by one, 2 for coded and stochastic witnesses, ¼ for what hardly depends on δ, or by
    `shares`. The parts that count are those of the lines that what is given allows; a line that cannot be a
    certificate takes none. One call counts: the best of several, with other plans, seeds or networks, is not
    covered, and δ itself belongs to what is fixed beforehand.

    Args:
        teacher: a module, evaluated in evaluation mode where it is and left as it was; or its logits, as a
            mapping from "train", "holdout", "unlabelled" to n × k arrays.
        student: the same for g.
        train, holdout: labelled points: `Train`/`HoldOut`, (inputs, labels), a Dataset or a DataLoader;
            `Batches` of batches that are made otherwise.
        unlabelled: points without labels: `Unlabelled`, an array, or as `train`, with labels left aside.
        fixed_in_advance: whether the witnesses' architecture (by default the teacher's) and recipe, the
            candidates of γ, the class of f and `shares` were fixed without the labels that test. Where not,
            every line that rests on one of them is a heuristic: all of them where `shares` are given. Choices
            that were made on the rows A of `split` alone were fixed without the labels of B.
        unmet: names of `ASSUMPTIONS` that do not hold: "holdout_unseen" of f that was chosen by its error on
            the hold-out, "unlabelled_unseen" of a semi-supervised f, "one_law" of unlabelled points from
            elsewhere, "independent" of a series in time. Every line that rests on one of them is a heuristic.
        delta: δ of all bounds together.
        gamma: γ of the margin bounds; of several candidates each bound takes the best and pays for them all.
        shares: line ↦ its part of δ; lines not named are left out, and 0 shows a line that can do without.
            None takes the fixed parts.
        witness: "distil" trains every kind of witness, a name of `WITNESSES` one kind, a `WitnessPlan` what
            it says; None trains nothing.
        prior: where coded and stochastic witnesses start from. None takes the hold-out witnesses; a share p
            trains a network on the labels of that part of the training points, the rest of which tests;
            a module of the witnesses' architecture is the user's own, learned on none of these labels, and
            all training points test. That it saw none is the user's word, and printed; the teacher itself is
            refused.
        ship: whether to give networks that can be shipped in the teacher's stead, `found.shipped`, with
            bounds on their own errors at shares of δ of their own: the hold-out witness, and one network that
            is distilled from it, as a `ShipPlan` may say, on its part of the labels and on the unlabelled
            points. These must be no versions of the training points, nor chosen by them
            ("unlabelled_apart"); from another distribution, or seen by the teacher, they may be.
        may_share: pairs of roles that may have rows in common, as in `check_rows`. That rows of train
            come again by chance is then an assumption of every line that the other role tests, and is not
            believed of more than half of that role.
        may_repeat: roles in which rows may repeat others; that they do so by chance, as where a distribution
            has atoms, is then an assumption of every line that the role tests, and is not believed of more
            than half of it.
        stream: where witnesses take their randomness from; needed for `witness` only.
        device: where witnesses are trained.
        batch_size: of the evaluation; one more batch, of 64 points, sees whether others change the answer.
        output: where the logits are in what a module gives, if that is neither a tensor nor has `.logits`; of
            a model of sequences the place that is judged, as ``lambda logits: logits[:, -1]``.
        progress: called with (done, total) steps of the witnesses' training. None shows a bar on a terminal
            and in a notebook, True a line now and then elsewhere too, False nothing.

    Raises:
        ValueError: a row sits in two roles or twice in one, arrays do not fit each other, a number is out of
            range, a name is not known, there is no labelled point, or prior or start is the teacher.

    >>> says, points = torch.eye(2).repeat(100, 1), torch.arange(200.0)[:, None]
    >>> held = points, torch.tensor([0, 1] * 100)
    >>> found = certify({"holdout": says}, holdout=held, fixed_in_advance=True)
    >>> found.best_line, round(found.best.value, 4)  # 1 − 0.05^(1/200)
    ('holdout', 0.0149)
    """
    word = Word.of(fixed_in_advance, unmet)
    roles = _roles(train, holdout, unlabelled)
    points = {role.role: role for role in roles}
    counts = check_rows(*roles, may_share=may_share, may_repeat=may_repeat)
    check_at_least("batch_size", batch_size, 1)
    said = said_by("teacher", teacher, points, batch_size=batch_size, pick=output)
    plan, to_ship = _plans(witness, ship, prior)
    with told(progress, "witnesses") as tell:
        case = Case(
            said,
            None if student is None else _student(student, said, points, batch_size, output),
            {role.role: role.labels.long().cpu() for role in roles if not isinstance(role, Unlabelled)},
            _gammas(gamma),
            word,
            _known(points),
            _workshop(plan, to_ship, said, points, stream, word, prior=prior, device=device, progress=tell),
            counts,
            to_ship is not None,
        )
        return certificates(case, delta=delta, shares=shares)


def _roles(train: Any, holdout: Any, unlabelled: Any) -> list[Role]:
    given = ((Train, train), (HoldOut, holdout), (Unlabelled, unlabelled))
    roles: list[Role] = [role.of(source) for role, source in given if source is not None]
    if train is None and holdout is None:
        raise ValueError("train and holdout are both None; give labelled points for one of them")
    return roles


def _known(points: Mapping[str, Role]) -> dict[str, Tensor | Arguments]:
    """The points that are known by more than what networks say of them."""
    found: dict[str, Tensor | Arguments] = {}
    for name, role in points.items():
        if isinstance(role.inputs, Tensor):
            found[name] = role.inputs.cpu()
        elif isinstance(role.inputs, Arguments):
            found[name] = role.inputs
    return found


def _gammas(gamma: float | Sequence[float]) -> tuple[float, ...]:
    gammas = tuple(gamma) if isinstance(gamma, Sequence) else (float(gamma),)
    check_at_least("number of gammas", len(gammas), 1)
    for value in gammas:
        check_positive("gamma", value)
    return gammas


def _student(
    student: nn.Module | Mapping[str, Any],
    teacher: Said,
    points: Mapping[str, Role],
    batch_size: int,
    pick: Pick | None,
) -> Said:
    said = said_by("student", student, points, batch_size=batch_size, pick=pick)
    for role, logits in said.on.items():
        if logits.shape != teacher.on[role].shape:
            shapes = f"{tuple(logits.shape)} and the teacher's {tuple(teacher.on[role].shape)}"
            raise ValueError(f"student logits on {role} have shape {shapes}; they must have the same classes")
    return said


def _plans(
    witness: str | WitnessPlan | None, ship: bool | ShipPlan, prior: float | nn.Module | None
) -> tuple[WitnessPlan | None, ShipPlan | None]:
    """The networks to be trained, by witnesses' plan and ship's."""
    if isinstance(witness, str):
        witness = WitnessPlan() if witness == "distil" else WitnessPlan((witness,))
    wanted = ship if isinstance(ship, ShipPlan) else ShipPlan() if ship else None
    for name, asked in (("prior", prior is not None), ("ship", wanted is not None)):
        if asked and witness is None:
            raise ValueError(f"{name} is for witnesses; say which by witness=…")
    if wanted is not None and witness is not None and "holdout" not in witness.kinds:
        raise ValueError(f"ship needs hold-out witnesses, and kinds = {witness.kinds}; name 'holdout' there")
    return witness, wanted


def _workshop(
    witness: WitnessPlan | None,
    ship: ShipPlan | None,
    teacher: Said,
    points: Mapping[str, Role],
    stream: Stream | None,
    word: Word,
    *,
    prior: float | nn.Module | None,
    device: str | torch.device,
    progress: Tell,
) -> Workshop | None:
    if witness is None:
        return None
    if stream is None:
        raise ValueError("stream = None, and witnesses are trained at random; give stream=Stream(seed)")
    resolve_device(device)
    train, unlabelled = points.get("train"), points.get("unlabelled")
    if not isinstance(train, Train) or unlabelled is None:
        return None
    if not isinstance(train.inputs, Tensor) or not isinstance(unlabelled.inputs, Tensor):
        raise ValueError("witness: a witness takes one array of numbers for each point; these have several")
    return Workshop(
        witness,
        witness.architecture or _same_shape(teacher, train.inputs),
        train.inputs.cpu(),
        train.labels.long().cpu(),
        teacher.on["train"],
        unlabelled.inputs.cpu(),
        teacher.on["unlabelled"].argmax(-1),
        stream,
        word,
        prior,
        device,
        progress,
        ship,
    )


def _same_shape(teacher: Said, inputs: Tensor) -> Architecture:
    """The teacher's own widths, or one hidden layer."""
    if teacher.net is not None:
        return MLP(teacher.net.widths)
    return MLP((inputs[0].numel(), _HIDDEN, teacher.on["train"].shape[-1]))

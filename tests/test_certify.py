"""Certificates: the terms of the bounds they are made of, one δ for all, true where the risk is known."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from math import inf, nan

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory import MLP, Stream, certify, train
from kdtheory.bounds import (
    bartlett19_log_growth,
    golowich18_margin,
    homogeneous_layers,
    hsu21_as_printed,
    hsu21_distillation,
    net_norms,
    vapnik71,
)
from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.certify import LINES, Certificates, WitnessPlan, certify_logits
from kdtheory.certify.witnesses import Workshop, least_coded
from kdtheory.coding import code_length, quantise
from kdtheory.datasets import digits
from kdtheory.inversion import binomial_upper_limit
from kdtheory.losses import distillation, label_loss
from kdtheory.problems import FiniteWorld, relabelled_images
from kdtheory.roles import ROLES, HoldOut, Train, Unlabelled

ROOT = Stream(5).child("test_certify")
ORDER = torch.from_numpy(ROOT.child("order").numpy().permutation(1797))
X, Y = digits().inputs[ORDER], digits().labels[ORDER]
TRAIN, HOLDOUT, REST = (X[:1000], Y[:1000]), (X[1000:1200], Y[1000:1200]), X[1200:]
ANY_PAIR = list(itertools.combinations(ROLES, 2))


def learned(widths: tuple[int, ...], steps: int, **teaching: Tensor) -> nn.Module:
    loss = distillation if teaching else label_loss
    stream = ROOT.child("learned", *widths)
    few = {"steps": steps, "learning_rate": 0.01, "members": 1, "stream": stream, "device": "cpu"}
    return train(MLP(widths), *TRAIN, **teaching, loss=loss, **few).module(0)


TEACHER = learned((64, 32, 10), 200)
STUDENT = learned((64, 10), 200, teacher_probs=TEACHER(TRAIN[0]).softmax(-1).detach())
FOUND = certify(TEACHER, STUDENT, train=TRAIN, holdout=HOLDOUT, unlabelled=REST)


@torch.no_grad()
def says(module: nn.Module, inputs: Tensor) -> Tensor:
    return module(inputs).double()


def test_delta_is_split_by_fixed_parts_and_spent() -> None:
    parts = {line.name: line.part for line in LINES}
    assert sum(FOUND.shares.values()) == pytest.approx(0.05, rel=1e-12)
    assert FOUND.shares["holdout"] == pytest.approx(8 * FOUND.shares["vc_dimension"])
    total = sum(parts[name] for name in FOUND.lines)
    assert FOUND.shares == pytest.approx({name: 0.05 * parts[name] / total for name in FOUND.lines})
    assert set(FOUND.lines) | set(FOUND.skipped) == set(parts)
    assert next(iter(FOUND.lines)) == "holdout"


def test_terms_are_those_of_the_bounds_called_directly() -> None:
    shares, labels = FOUND.shares, HOLDOUT[1]
    wrong = says(TEACHER, HOLDOUT[0]).argmax(-1) != labels
    expected = {
        "holdout": clopper34_holdout(wrong, delta=shares["holdout"], fixed_in_advance=True),
        "student_holdout": disagreement_transfer(
            clopper34_holdout(
                says(STUDENT, HOLDOUT[0]).argmax(-1) != labels,
                delta=shares["student_holdout"] / 2,
                fixed_in_advance=True,
            ),
            says(STUDENT, REST).argmax(-1) != says(TEACHER, REST).argmax(-1),
            delta=shares["student_holdout"] / 2,
            drawn_afterwards=True,
        ),
        "vc_dimension": vapnik71(
            float((says(TEACHER, TRAIN[0]).argmax(-1) != TRAIN[1]).double().mean()),
            n=1000,
            log_growth=lambda n: bartlett19_log_growth((64, 32, 10), n=n),
            delta=shares["vc_dimension"],
            fixed_in_advance=True,
        ),
        "frobenius_norms": golowich18_margin(
            says(TEACHER, TRAIN[0]),
            TRAIN[1],
            norms=net_norms(
                homogeneous_layers(
                    [TEACHER[0].weight.double(), TEACHER[2].weight.double()],
                    [TEACHER[0].bias.double(), TEACHER[2].bias.double()],
                )
            ),
            input_norm=float((TRAIN[0].double().square().sum() + 1000).sqrt()),
            gamma=1.0,
            delta=shares["frobenius_norms"],
            fixed_in_advance=True,
        ),
    }
    for name, bound in expected.items():
        assert dict(FOUND.lines[name].terms) == pytest.approx(dict(bound.terms), rel=1e-9), name
        assert FOUND.lines[name].value == pytest.approx(bound.value, rel=1e-9)
        assert FOUND.lines[name].assumptions == bound.assumptions


def test_the_distillation_bound_is_charged_for_the_students_norm_and_for_each_gamma() -> None:
    layer = torch.cat([STUDENT[0].weight, STUDENT[0].bias[:, None]], 1).double().detach()
    step = 0
    while 2 ** (step / 4) < float(layer.norm()):
        step += 1
    complexity = 10**0.5 * 2 ** (step / 4) * float((TRAIN[0].double().square().sum() + 1000).sqrt()) / 1000
    weight = 2 / (3 * (step + 1) * (step + 2)) / 3
    found = certify(TEACHER, STUDENT, train=TRAIN, unlabelled=REST, gamma=[0.5, 1.0, 2.0])
    points = says(STUDENT, TRAIN[0]), TRAIN[1], says(STUDENT, REST), says(TEACHER, REST)
    settings = {"delta": found.shares["distillation"], "weight": weight, "fixed_in_advance": True}
    bounds = [
        hsu21_distillation(*points, **settings, gamma=gamma, student_complexity=complexity)
        for gamma in (0.5, 1.0, 2.0)
    ]
    assert found.lines["distillation"].value == pytest.approx(min(bound.value for bound in bounds), rel=1e-6)
    printed = hsu21_as_printed(
        points[0], says(TEACHER, TRAIN[0]), TRAIN[1], gamma=2.0, delta=found.shares["as_printed"],
        margin_complexity=2 * complexity, weight=weight,
    )  # fmt: skip
    assert found.lines["as_printed"].value <= printed.value * (1 + 1e-6)
    assert found.lines["as_printed"].kind == "heuristic"


def test_shares_decide_what_is_reported_and_at_what_delta() -> None:
    found = certify(TEACHER, holdout=HOLDOUT, shares={"holdout": 3, "holdout_kl": 1}, delta=0.08)
    assert found.shares == pytest.approx({"holdout": 0.06, "holdout_kl": 0.02})
    assert "not asked for" in found.skipped["holdout_hoeffding"]
    alone = certify(TEACHER, holdout=HOLDOUT)
    wrong = int((says(TEACHER, HOLDOUT[0]).argmax(-1) != HOLDOUT[1]).sum())
    assert alone.best.value == binomial_upper_limit(wrong, 200, delta=0.05)
    others = {"holdout_hoeffding": 1.0, "holdout_bernstein": 1.0, "holdout_kl": 1.0}
    values = [bound.value for bound in certify(TEACHER, holdout=HOLDOUT, shares=others).bounds]
    assert min(values) > alone.best.value


SOURCES = {
    "a DataLoader": (
        DataLoader(TensorDataset(*TRAIN), batch_size=33),
        DataLoader(TensorDataset(*HOLDOUT), batch_size=200, shuffle=True),
        DataLoader(TensorDataset(REST), batch_size=9),
    ),
    "arrays": tuple(
        part if isinstance(part, Tensor) else tuple(column.numpy() for column in part)
        for part in (TRAIN, HOLDOUT, REST)
    ),
    "roles": (Train(*TRAIN), HoldOut(*HOLDOUT), Unlabelled(REST)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_loaders_and_arrays_give_what_tensors_give(source: str) -> None:
    labelled, kept, others = SOURCES[source]
    found = certify(TEACHER, STUDENT, train=labelled, holdout=kept, unlabelled=others, batch_size=77)
    for name, bound in FOUND.lines.items():
        assert found.lines[name].value == pytest.approx(bound.value, rel=1e-6), name


def test_logits_give_what_modules_give_where_no_layers_are_needed() -> None:
    names = (*ROLES,)
    tables = [
        {
            name: says(module, points).numpy()
            for name, points in zip(names, (TRAIN[0], HOLDOUT[0], REST), strict=True)
        }
        for module in (TEACHER, STUDENT)
    ]
    shares = {"holdout": 1, "student_holdout": 1, "training_error": 1}
    roles = {"train": TRAIN, "holdout": HOLDOUT, "unlabelled": REST, "shares": shares}
    by_logits = certify(*tables, **roles)
    assert by_logits.to_json() == certify(TEACHER, STUDENT, **roles).to_json()
    assert (
        "not a module"
        in certify(*tables, train=TRAIN, holdout=HOLDOUT, unlabelled=REST).skipped["vc_dimension"]
    )
    plain = certify_logits(
        says(TEACHER, HOLDOUT[0]),
        HOLDOUT[1],
        student_logits=says(STUDENT, HOLDOUT[0]),
        teacher_unlabelled=says(TEACHER, REST),
        student_unlabelled=says(STUDENT, REST),
        shares={"holdout": 1, "student_holdout": 1},
    )
    pair = certify(
        TEACHER, STUDENT, holdout=HOLDOUT, unlabelled=REST, shares={"holdout": 1, "student_holdout": 1}
    )
    assert [bound.value for bound in plain.bounds] == [bound.value for bound in pair.bounds]


def test_a_row_in_two_roles_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match=r"rows 990, 991, .* of train are rows 0, 1, .* of holdout \(10 in"):
        certify(TEACHER, train=TRAIN, holdout=(X[990:1100], Y[990:1100]))
    said = says(TEACHER, HOLDOUT[0])
    twice = {"student_logits": said / 2, "teacher_unlabelled": said[5:], "student_unlabelled": said[5:] / 2}
    with pytest.raises(
        ValueError, match="rows 5, 6, 7, 8, 9 of holdout are rows 0, 1, 2, 3, 4 of unlabelled"
    ):
        certify_logits(said, HOLDOUT[1], **twice)
    assert certify_logits(said, HOLDOUT[1], **twice, may_share=[("holdout", "unlabelled")]).best is not None


class Functional(nn.Module):
    """Linear layers and a ReLU that is no module."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = F.relu, skip: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        self.activation, self.skip = activation, skip

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.first(inputs))
        return self.last(hidden + inputs if self.skip else hidden)


@pytest.mark.parametrize(
    ("module", "is_read"),
    [
        (
            nn.Sequential(
                nn.Flatten(), nn.Sequential(nn.Linear(64, 8), nn.ReLU()), nn.Dropout(), nn.Linear(8, 10)
            ),
            True,
        ),
        (nn.Linear(64, 10, bias=False), True),
        (Functional(), True),
        (Functional(skip=True), False),
        (Functional(torch.tanh), False),
        (nn.Sequential(nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 10)), False),
        (nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 10)), False),
        (nn.Sequential(nn.Linear(64, 10), nn.ReLU()), False),
    ],
)
def test_norms_are_read_off_plain_relu_nets_and_no_others(module: nn.Module, is_read: bool) -> None:
    found = certify(module, train=TRAIN)
    assert ("frobenius_norms" in found.lines) == ("vc_dimension" in found.lines) == is_read
    if not is_read:
        assert "Linear layers with ReLU between" in found.skipped["spectral_norms"]


def test_modules_are_evaluated_in_evaluation_mode_and_put_back() -> None:
    module = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)).train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, second = (certify(module, holdout=HOLDOUT, batch_size=size) for size in (7, 200))
    assert [part.training for part in module] == [True, False, True, True]
    assert first.best.value == second.best.value
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_training_points_alone_give_no_certificate_without_layers() -> None:
    found = certify_logits(says(TEACHER, TRAIN[0]), TRAIN[1], labels_role="train")
    assert list(found.lines) == ["training_error"]
    assert found.lines["training_error"].kind == "heuristic"
    assert not found.lines["training_error"].vacuous
    assert (found.best, found.best_line, found.vacuous) == (None, None, True)


def test_what_was_chosen_after_the_data_is_a_heuristic() -> None:
    found = certify(TEACHER, STUDENT, train=TRAIN, unlabelled=REST, fixed_in_advance=False)
    kinds = {name: bound.kind for name, bound in found.lines.items()}
    assert {kinds[name] for name in ("vc_dimension", "frobenius_norms", "distillation")} == {"heuristic"}
    assert kinds["student_coded"] == "certificate", "a code does not care how the student was found"


def test_what_cannot_be_made_of_the_numbers_is_left_out_and_its_share_lost() -> None:
    logits = says(TEACHER, HOLDOUT[0])
    ruled_out = logits.clone()
    ruled_out[3, 4] = -inf
    more = {"teacher_unlabelled": says(TEACHER, REST), "student_unlabelled": says(STUDENT, REST)}
    whole, part = (
        certify_logits(logits, HOLDOUT[1], student_logits=student, **more)
        for student in (logits / 2, ruled_out)
    )
    assert "-inf" in part.skipped["distillation_by_margins"]
    assert part.shares["holdout"] == whole.shares["holdout"]
    zero = nn.Sequential(nn.Linear(64, 10))
    nn.init.zeros_(zero[0].weight)
    nn.init.zeros_(zero[0].bias)
    assert "norms is zero" in certify(zero, train=TRAIN).skipped["frobenius_norms"]


def test_frame_and_json_say_the_same() -> None:
    frame, document = FOUND.to_frame(), FOUND.to_json()
    totals = frame[frame.term == "total"].set_index("line").value
    assert totals.to_dict() == {name: bound.value for name, bound in FOUND.lines.items()}
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == 1
    assert document["best"] == FOUND.best_line == "holdout"
    assert [bound["value"] for bound in document["bounds"]] == [bound.value for bound in FOUND.bounds]
    assert document["points"] == {"train": 1000, "holdout": 200, "unlabelled": 597}
    assert frame.groupby("line").delta.first().sum() <= 0.05 * (1 + 1e-9)


def test_more_than_delta_is_not_given_out() -> None:
    with pytest.raises(ValueError, match="more than delta"):
        Certificates(0.01, FOUND.lines, {}, {})


# On a world whose risk is known


def world() -> FiniteWorld:
    return relabelled_images(digits(), says(STUDENT, digits().inputs), temperature=1.0)


def test_certificates_hold_together_on_a_world_of_known_risk() -> None:
    """Hold-out and unlabelled points drawn anew, at a δ large enough to be missed now and then."""
    known, delta, draws = world(), 0.3, 120
    tables = [says(module, known.inputs.float()) for module in (TEACHER, STUDENT)]
    chosen = tables[0].argmax(-1, keepdim=True)
    risk = float(known.expectation(1 - known.posterior(known.inputs).gather(-1, chosen).squeeze(-1)))
    missed = dict.fromkeys(("holdout", "student_holdout", "distillation", "any"), 0)
    values = []
    for draw in range(draws):
        labelled = known.sample(60, ROOT.child("coverage", draw, "labelled"))
        others = known.sample(60, ROOT.child("coverage", draw, "others"))
        found = certify_logits(
            tables[0][labelled.atoms],
            labelled.labels,
            student_logits=tables[1][labelled.atoms],
            teacher_unlabelled=tables[0][others.atoms],
            student_unlabelled=tables[1][others.atoms],
            delta=delta,
            may_share=ANY_PAIR,
        )
        below = {name for name, bound in found.lines.items() if bound.certificate and bound.value < risk}
        for name in missed:
            missed[name] += name in below if name != "any" else bool(below)
        values.append(found.lines["holdout"].value)
    for name, count in missed.items():
        allowed = delta if name == "any" else found.shares[name]
        assert stats.binomtest(count, draws, allowed, alternative="greater").pvalue > 1e-3, (name, count)
    assert missed["holdout"] > 0, "never missed at such a δ: not tight"
    assert sum(values) / draws < 2 * risk


def test_certificates_with_witnesses_are_above_a_known_risk_and_say_something() -> None:
    known = world()
    sample = known.sample(600, ROOT.child("witnessed"))
    others = known.sample(600, ROOT.child("others"))
    inputs, labels = sample.inputs.float(), sample.labels
    few = {"steps": 150, "learning_rate": 0.01, "members": 1, "device": "cpu"}
    overfit = train(MLP((64, 32, 10)), inputs, labels, loss=label_loss, stream=ROOT.child("overfit"), **few)
    chosen = overfit.logits(known.inputs.float())[0].argmax(-1, keepdim=True)
    risk = float(known.expectation(1 - known.posterior(known.inputs).gather(-1, chosen).squeeze(-1)))
    told: list[tuple[int, int]] = []
    found = certify(
        overfit.module(0),
        train=(inputs, labels),
        unlabelled=others.inputs.float(),
        witness=WitnessPlan(members=2, held_out=0.3, steps=100, distilled_steps=80, learning_rate=0.01),
        may_share=ANY_PAIR,
        stream=ROOT.child("witnesses"),
        device="cpu",
        progress=lambda done, total: told.append((done, total)),
    )
    for name in ("witness_holdout", "witness_coded", "witness_stochastic"):
        assert risk < found.lines[name].value < 1, name
        assert found.lines[name].quantities["training steps"] == 360
    assert found.lines["witness_holdout"].value < 2.5 * risk
    assert found.lines["training_error"].value < risk, "the heuristic is one"
    assert told[-1] == (360, 360)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


# Witnesses


def workshop(labels: Tensor = TRAIN[1], unlabelled: Tensor = REST, **plan: object) -> Workshop:
    settings = {"steps": 5, "distilled_steps": 5, "batch_size": None, **plan}
    said = says(TEACHER, TRAIN[0])
    classes = says(TEACHER, unlabelled).argmax(-1)
    return Workshop(
        WitnessPlan(**settings), MLP((64, 8, 10)), TRAIN[0], labels, said, unlabelled, classes, ROOT, "cpu"
    )


def test_the_holdout_witness_never_sees_what_tests_it() -> None:
    plain = workshop()
    kept, tested = plain.split
    assert sorted([*kept.tolist(), *tested.tolist()]) == list(range(1000))
    changed = TRAIN[1].clone()
    changed[tested] = (changed[tested] + 1) % 10
    assert torch.equal(workshop(changed).networks.params, plain.networks.params)
    changed[kept[0]] = (changed[kept[0]] + 1) % 10
    assert not torch.equal(workshop(changed).networks.params, plain.networks.params)


def test_no_witness_sees_the_unlabelled_points() -> None:
    first, second = workshop(), workshop(unlabelled=REST[:100])
    for kind in ("holdout", "coded", "stochastic"):
        one, other = (getattr(shop, kind)(0.02).terms for shop in (first, second))
        own = [term for term in one if not term.startswith("disagreement")]
        assert [one[term] for term in own] == [other[term] for term in own]


def test_the_same_stream_trains_the_same_witnesses() -> None:
    assert workshop().stochastic(0.02) == workshop().stochastic(0.02)
    assert workshop().coded(0.02) == workshop().coded(0.02)


def test_the_least_coded_network_is_the_least() -> None:
    architecture, params = MLP((64, 10)), MLP((64, 10)).pack(STUDENT.state_dict()).double()
    networks = [quantise(params, architecture=architecture, levels=levels) for levels in (1, 2, 4, 8, 16)]
    inputs, labels = TRAIN[0].double(), TRAIN[1]
    values = []
    for network in networks:
        wrong = int((architecture.logits(network.params(), inputs).argmax(-1) != labels).sum())
        level = math.log(0.05) - code_length(network) * math.log(2)
        values.append(binomial_upper_limit(wrong, 1000, log_delta=level))
    network, bound = least_coded(networks, inputs, labels, delta=0.05)
    assert bound.value == pytest.approx(min(values), rel=1e-12)
    assert network is networks[values.index(min(values))]


def test_a_witness_of_ones_own_architecture_and_of_one_kind() -> None:
    found = certify(
        Functional(torch.tanh).eval(),
        train=TRAIN,
        unlabelled=REST,
        witness=WitnessPlan(kinds=("holdout",), steps=20),
        stream=ROOT,
        device="cpu",
    )
    assert "witness_holdout" in found.lines
    assert found.skipped["witness_coded"] == "no such witness was asked for"


TABLE: dict[str, tuple[Callable[[], object], str]] = {
    "nothing labelled": (lambda: certify(TEACHER, unlabelled=REST), "train and holdout are both None"),
    "teacher: no module": (lambda: certify("teacher", holdout=HOLDOUT), "teacher is a str"),
    "teacher: a tensor": (lambda: certify(HOLDOUT[0], holdout=HOLDOUT), "teacher is a Tensor"),
    "teacher: not a table": (lambda: certify(nn.Flatten(0), holdout=HOLDOUT), "give n × k logits"),
    "teacher: NaN": (
        lambda: certify({"holdout": HOLDOUT[0] * nan}, holdout=HOLDOUT),
        "teacher logits on holdout",
    ),
    "teacher: rows": (lambda: certify({"holdout": HOLDOUT[0][:3]}, holdout=HOLDOUT), "give 200 rows"),
    "teacher: a role lacks": (
        lambda: certify({"train": TRAIN[0]}, holdout=HOLDOUT),
        "no logits for 'holdout'",
    ),
    "student: classes": (
        lambda: certify(TEACHER, nn.Linear(64, 3), holdout=HOLDOUT),
        "labels spans|same classes",
    ),
    "student: more classes": (
        lambda: certify(TEACHER, nn.Linear(64, 12), holdout=HOLDOUT),
        "the same classes",
    ),
    "labels: out of range": (lambda: certify(TEACHER, holdout=(X, Y + 5)), "holdout labels spans"),
    "δ = 0": (lambda: certify(TEACHER, holdout=HOLDOUT, delta=0.0), "delta"),
    "δ = 1": (lambda: certify(TEACHER, holdout=HOLDOUT, delta=1.0), "delta"),
    "γ = 0": (lambda: certify(TEACHER, holdout=HOLDOUT, gamma=0.0), "gamma"),
    "γ: none": (lambda: certify(TEACHER, holdout=HOLDOUT, gamma=[]), "number of gammas"),
    "batch of none": (lambda: certify(TEACHER, holdout=HOLDOUT, batch_size=0), "batch_size"),
    "shares: unknown": (lambda: certify(TEACHER, holdout=HOLDOUT, shares={"luck": 1}), "shares = 'luck'"),
    "shares: none": (
        lambda: certify(TEACHER, holdout=HOLDOUT, shares={"holdout": 0}),
        r"shares\['holdout'\]",
    ),
    "shares: nothing applies": (
        lambda: certify(TEACHER, holdout=HOLDOUT, shares={"vc_dimension": 1}),
        "no bound applies .*no training labels",
    ),
    "witness: unknown": (
        lambda: certify(TEACHER, holdout=HOLDOUT, witness="luck", stream=ROOT),
        "witness = 'luck'",
    ),
    "witness: no stream": (lambda: certify(TEACHER, train=TRAIN, witness="distil"), "stream = None"),
    "witness: nothing to test by": (
        lambda: certify(
            TEACHER, train=TRAIN, unlabelled=REST, stream=ROOT, witness=WitnessPlan(held_out=0.001)
        ),
        "held_out = 0.001",
    ),
    "plan: no kind": (lambda: WitnessPlan(kinds=()), "number of kinds"),
    "plan: no member": (lambda: WitnessPlan(members=0), "members = 0"),
    "plan: all held out": (lambda: WitnessPlan(held_out=1.0), "held_out"),
    "device": (
        lambda: certify(
            TEACHER, train=TRAIN, unlabelled=REST, witness="distil", stream=ROOT, device="abacus"
        ),
        "device = 'abacus'",
    ),
    "logits: role": (lambda: certify_logits(X, Y, labels_role="test"), "labels_role = 'test'"),
    "logits: a student without unlabelled points": (
        lambda: certify_logits(X, Y, student_logits=X, teacher_unlabelled=REST),
        "student_unlabelled lacking",
    ),
    "logits: unlabelled points of no student": (
        lambda: certify_logits(X, Y, student_unlabelled=REST),
        "student_logits, teacher_unlabelled lacking",
    ),
    "logits: rows": (lambda: certify_logits(X, Y, student_logits=X[:3]), "1797 and 3 rows"),
    "logits: labels": (lambda: certify_logits(X, Y[:3]), "1797 rows and 3 labels"),
    "logits: NaN": (lambda: certify_logits(X * nan, Y), "teacher logits on holdout"),
}


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(case: str) -> None:
    call, named = TABLE[case]
    with pytest.raises(ValueError, match=named):
        call()

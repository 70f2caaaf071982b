"""Chapter 1, response: the temperature softmax, its limits, and the distillation loss (Hinton et al., 2015)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate
from kdtheory.claims.verdict import Verdict
from kdtheory.losses import (
    CONVENTIONS,
    cross_entropy,
    entropy,
    entropy_temperature_derivative,
    high_temperature_divergence,
    high_temperature_gradient,
    jensen_shannon,
    kd_gradient,
    kd_loss,
    kl_divergence,
    renyi_entropy,
    tempered_softmax,
    transformed_teacher_matching,
    zero_temperature_softmax,
    zheng24_terms,
)
from kdtheory.streams import Stream

POSITIVE = "T > 0, and the logits are finite."
HINTON = "hinton2015distilling"
NOTES = "shen2021deep"
REPLICATES = 24
"""Independent batches, one fitted slope each."""


# -- logits ----------------------------------------------------------------------------------------------


def _logits(setting: Setting, trials: int, /, *, spread: float = 10.0) -> tuple[Tensor, Tensor, Tensor]:
    """Student logits, teacher logits and labels of images drawn with replacement, float64.

    Both score an image by its squared distance to the mean of each class, the student from a random half of the
    pixels; each example's scores are stretched by a factor that is log-uniform in [1/spread, spread].
    """
    generator = setting.stream.child("logits").torch()
    images = setting.images
    kept = torch.randperm(images.num_images, generator=generator)[:5000]
    inputs, labels = images.inputs[kept].double(), images.labels[kept]
    counts = torch.bincount(labels, minlength=images.num_classes).clamp(min=1).unsqueeze(-1)
    means = inputs.new_zeros(images.num_classes, images.dim).index_add_(0, labels, inputs) / counts
    rows = torch.randint(len(kept), (trials,), generator=generator)
    seen = torch.randperm(images.dim, generator=generator)[: (images.dim + 1) // 2]
    teacher = _scores(inputs[rows], means)
    student = _scores(inputs[rows][:, seen], means[:, seen])
    stretch = spread ** (2 * torch.rand(2, trials, 1, generator=generator, dtype=torch.float64) - 1)
    return student * stretch[0], teacher * stretch[1], labels[rows]


def _scores(inputs: Tensor, means: Tensor) -> Tensor:
    scores = -torch.cdist(inputs, means).square()
    return (scores - scores.mean()) / scores.std()


def _between(low: float, high: float, count: int, stream: Stream) -> Tensor:
    """Log-uniform draws."""
    share = torch.rand(count, generator=stream.torch(), dtype=torch.float64)
    return low * (high / low) ** share


def _replicates(values: Tensor) -> Tensor:
    """The root mean square over each of `REPLICATES` equal batches of examples."""
    return values.reshape(REPLICATES, -1).square().mean(-1).sqrt()


# -- 1.1 limits ------------------------------------------------------------------------------------------


def _softmax_of_the_product(logits, /, *, temperature, _true=tempered_softmax):
    return _true(logits, temperature=1 / temperature)


def _softmax_over_the_square(logits, /, *, temperature, _true=tempered_softmax):
    return _true(logits, temperature=temperature**2)


def _first_of_the_largest(logits, /):
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)


@claim(
    section="1.1",
    formula=r"\varphi_T(z) \to \tfrac1k\mathbf 1\ (T\to\infty),\qquad "
    r"\varphi_T(z) \to \operatorname{unif}(\arg\max_j z_j)\ (T\to 0^+)",
    source=HINTON,
    assumes=(POSITIVE,),
    control=Control("the temperature is negative, so that the smallest logit wins", sign=-1.0),
    uses=(tempered_softmax, zero_temperature_softmax),
    mutants=(
        Mutant("the logits are multiplied by T", tempered_softmax, _softmax_of_the_product),
        Mutant("the logits are divided by T²", tempered_softmax, _softmax_over_the_square),
        Mutant("a tie is broken in favour of one class", zero_temperature_softmax, _first_of_the_largest),
    ),
)
def softmax_runs_from_the_argmax_to_uniform(setting: Setting, /, *, sign: float = 1.0) -> Evidence:
    """The temperature softmax φ_T(z) tends to the uniform law as T → ∞, at the rate 1/T, and to the uniform law on
    the largest logits as T → 0+.

    How it's judged: logits on real images, rounded to whole numbers, every other one with a tie at the top. The
    distance to uniform over T = 2⁶ … 2¹² must have slope −1 ± 0.05, one slope per batch; at T = 10⁻³, where the
    runner-up has e⁻¹⁰⁰⁰, the two laws must be equal. For T < 0, φ_T(z) = φ_|T|(−z), which still flattens out as
    |T| grows but picks the smallest logit as T → 0−.
    """
    logits = (2 * _logits(setting, setting.size(quick=480, full=4800))[1]).round()
    logits[::2, 0] = logits[::2].amax(-1)
    temperatures = [2.0**power for power in range(6, 13)]
    gaps = [
        (tempered_softmax(sign * logits, temperature=t) - 1 / logits.shape[-1]).norm(dim=-1)
        for t in temperatures
    ]
    cold = tempered_softmax(sign * logits, temperature=1e-3)
    to_uniform = torch.stack([_replicates(gap) for gap in gaps], dim=1)
    return Joint(
        parts={
            "T → ∞": Rate.of(temperatures, to_uniform, expected=-1.0, margin=0.05),
            "T → 0+": Identity.of(cold, zero_temperature_softmax(logits), tolerance=1e-12),
        }
    )


def _slope_over_t_squared(logits, /, *, temperature, _true=entropy_temperature_derivative):
    return _true(logits, temperature=temperature) * temperature


def _entropy_in_bits(logits, /, *, temperature=1.0, _true=entropy):
    return _true(logits, temperature=temperature) / math.log(2)


@claim(
    section="1.1",
    formula=r"\frac{dH}{dT}\bigl(\varphi_T(z)\bigr) = \frac{\operatorname{Var}_{\varphi_T(z)}(z)}{T^3} \ge 0",
    source=HINTON,
    assumes=(POSITIVE,),
    control=Control("the temperature is negative", sign=-1.0),
    uses=(entropy, entropy_temperature_derivative),
    mutants=(
        Mutant("T² in place of T³", entropy_temperature_derivative, _slope_over_t_squared),
        Mutant("the entropy is taken in bits", entropy, _entropy_in_bits),
    ),
)
def entropy_grows_with_the_temperature(setting: Setting, /, *, sign: float = 1.0) -> Evidence:
    """The entropy of φ_T(z) never falls as T grows: its slope in T is the variance of the logits under φ_T(z), over T³.

    How it's judged: the slope that automatic differentiation finds against the closed form, and against 0, for logits
    on real images and T log-uniform in [0.2, 20]; and the entropy itself at two temperatures. For T < 0,
    φ_T(z) = φ_|T|(−z), and the entropy falls as T rises to 0.
    """
    logits = sign * _logits(setting, setting.size(quick=300, full=3000))[1]
    low = _between(0.2, 20, len(logits), setting.stream.child("temperature")).requires_grad_()
    at_low = entropy(logits, temperature=low)
    slope = sign * torch.autograd.grad(at_low.sum(), low)[0]
    at_high = entropy(logits, temperature=1.1 * low.detach())
    closed = entropy_temperature_derivative(logits, temperature=low.detach())
    growth = sign * (at_high - at_low).detach()
    return Joint(
        parts={
            "slope": Identity.of(slope, closed, tolerance=1e-10),
            "sign": Inequality.of(-slope, torch.zeros_like(slope), slack=1e-12),
            "growth": Inequality.of(-growth, torch.zeros_like(growth), slack=1e-12),
        }
    )


# -- 1.2 the cross-entropy of the notes ------------------------------------------------------------------


def _without_the_entropy(student_logits, teacher_logits, /):
    return kl_divergence(student_logits, teacher_logits)


@claim(
    section="1.2",
    formula=r"\mathrm{CE}(p_t, p_s) = 0 \text{ when } p_s = p_t;\qquad"
    r"\text{mended: } \mathrm{CE}(p_t, p_s) \ge H(p_t),\ = \text{ iff } p_s = p_t",
    source=NOTES,
    assumes=("The teacher is not one-hot.",),
    control=Control("the floor is the teacher's entropy", floor="entropy"),
    uses=(cross_entropy, entropy),
    mutants=(Mutant("the entropy is forgotten: it is KL", cross_entropy, _without_the_entropy),),
    expect=Verdict.REFUTED,
)
def cross_entropy_reaches_zero_when_the_student_has_learned(
    setting: Setting, /, *, floor: str = "zero"
) -> Evidence:
    """When the cross-entropy CE(p_t, p_s) is 0, the student has learned well from its teacher: so 0 is what a student
    reaches that equals its teacher (as printed).

    How it's judged: for logits on real images, the cross-entropy of a student with p_s = p_t against the floor, and
    that of another student, which must not lie below it. A student equal to its teacher still pays the teacher's
    entropy H(p_t), so a soft teacher's cross-entropy is never 0; it is KL(p_t‖p_s) = CE − H that reaches 0.
    """
    other, teacher, _ = _logits(setting, setting.size(quick=300, full=3000))
    reached = torch.zeros(len(teacher), dtype=teacher.dtype) if floor == "zero" else entropy(teacher)
    return Joint(
        parts={
            "attained": Identity.of(
                cross_entropy(teacher.clone(), teacher),
                reached,
                tolerance=1e-10,
                effect=math.log(teacher.shape[-1]),
            ),
            "a floor": Inequality.of(reached, cross_entropy(other, teacher), slack=1e-12),
        },
        notes={"mean entropy of the teacher": float(entropy(teacher).mean())},
    )


def _gradient_of_the_hard_term_only(student_logits, teacher_logits, labels, /, *, weight, **options):
    return (1 - weight) * student_logits


@claim(
    section="1.2",
    formula=r"\mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_t(x),T)\bigr),\qquad"
    r"\text{mended: } \mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_s(x),T)\bigr)",
    source=NOTES,
    assumes=(POSITIVE,),
    control=Control("the second argument is the student's law", second="student"),
    uses=(cross_entropy, kd_gradient),
    mutants=(Mutant("the soft term has no gradient", kd_gradient, _gradient_of_the_hard_term_only),),
    expect=Verdict.REFUTED,
)
def printed_response_loss_moves_the_student(setting: Setting, /, *, second: str = "teacher") -> Evidence:
    """The response loss CE(p(f_t, T), p(f_t, T)) teaches the student: its gradient in the student's logits is
    (φ_T(z_s) − φ_T(z_t))/T (as printed, with the teacher twice).

    How it's judged: automatic differentiation on logits on real images, T log-uniform in [0.2, 20], errors relative to
    1/T. The printed loss does not contain the student, so its gradient is 0; with the student as second argument the
    gradient is the one stated.
    """
    student, teacher, labels = _logits(setting, setting.size(quick=300, full=3000))
    temperature = _between(0.2, 20, len(student), setting.stream.child("temperature"))
    student.requires_grad_()
    over = temperature.unsqueeze(-1)
    printed = (teacher if second == "teacher" else student) / over
    loss = (cross_entropy(printed, teacher / over) * temperature).sum() + 0 * student.sum()
    (found,) = torch.autograd.grad(loss, student)
    stated = kd_gradient(
        student.detach(), teacher, labels, temperature=temperature, weight=1.0, temperature_squared=False
    )
    return Identity.of(found, stated * over, tolerance=1e-10, effect=1.0)


# -- 1.3 high temperature --------------------------------------------------------------------------------


def _limit_without_centring(student_logits, teacher_logits, /):
    return (student_logits - teacher_logits) / student_logits.shape[-1]


def _limit_without_the_half(student_logits, teacher_logits, /, _true=high_temperature_divergence):
    return 2 * _true(student_logits, teacher_logits)


def _gradient_without_t(
    student_logits, teacher_logits, labels, /, *, temperature, _true=kd_gradient, **options
):
    return _true(student_logits, teacher_logits, labels, temperature=temperature, **options) / temperature


def _loss_with_t(student_logits, teacher_logits, labels, /, *, temperature, _true=kd_loss, **options):
    return _true(student_logits, teacher_logits, labels, temperature=temperature, **options) / temperature


_HORIZONS = [2.0**power for power in range(5, 12)]


@claim(
    section="1.3",
    formula=r"T\bigl(\varphi_T(z_s)-\varphi_T(z_t)\bigr) = \tfrac1k\,(d - \bar d) + O(1/T),\quad d = z_s - z_t",
    source=HINTON,
    assumes=(POSITIVE, "T is large beside the logits."),
    control=Control("the factor T² is dropped from the loss", temperature_squared=False),
    uses=(kd_gradient, high_temperature_gradient),
    mutants=(
        Mutant("the limit is not centred", high_temperature_gradient, _limit_without_centring),
        Mutant("the gradient lacks its factor T", kd_gradient, _gradient_without_t),
    ),
)
def soft_gradient_tends_to_the_gap_of_centred_logits(
    setting: Setting, /, *, temperature_squared: bool = True
) -> Evidence:
    """With its factor T², the gradient of the soft term tends to the gap of the centred logits over k as T → ∞, with an
    error of order 1/T: at high temperature, distillation matches logits.

    How it's judged: the distance to the limit over T = 2⁵ … 2¹¹, for logits on real images; slope −1 ± 0.05, one slope
    per batch. Without T² the gradient tends to 0 and its distance to the limit to a constant: slope 0.
    """
    student, teacher, labels = _logits(setting, setting.size(quick=480, full=4800), spread=2.0)
    limit = high_temperature_gradient(student, teacher)
    errors = []
    for temperature in _HORIZONS:
        gradient = kd_gradient(
            student,
            teacher,
            labels,
            temperature=temperature,
            weight=1.0,
            temperature_squared=temperature_squared,
        )
        errors.append(_replicates((gradient - limit).norm(dim=-1)))
    return Rate.of(_HORIZONS, torch.stack(errors, dim=1), expected=-1.0, margin=0.05)


@claim(
    section="1.3",
    formula=r"T^2\,\mathrm{KL}\bigl(\varphi_T(z_t)\,\|\,\varphi_T(z_s)\bigr) = "
    r"\tfrac1{2k}\sum_j (d_j - \bar d)^2 + O(1/T),\quad d = z_s - z_t",
    source=HINTON,
    assumes=(POSITIVE, "T is large beside the logits."),
    control=Control("the factor T² is dropped from the loss", temperature_squared=False),
    uses=(kd_loss, high_temperature_divergence),
    mutants=(
        Mutant("the limit lacks its factor 1/2", high_temperature_divergence, _limit_without_the_half),
        Mutant("T in place of T²", kd_loss, _loss_with_t),
    ),
)
def soft_loss_tends_to_half_the_variance_of_the_gap(
    setting: Setting, /, *, temperature_squared: bool = True
) -> Evidence:
    """T² times KL(φ_T(z_t)‖φ_T(z_s)) tends to half the variance over the classes of z_s − z_t as T → ∞, with an error of
    order 1/T: hence the factor T².

    How it's judged: the distance to the limit over T = 2⁵ … 2¹¹, for logits on real images; slope −1 ± 0.05, one slope
    per batch. Without T² the loss tends to 0 and its distance to the limit to a constant: slope 0.
    """
    student, teacher, _ = _logits(setting, setting.size(quick=480, full=4800), spread=2.0)
    limit = high_temperature_divergence(student, teacher)
    errors = []
    for temperature in _HORIZONS:
        losses = kd_loss(
            student,
            teacher,
            None,
            temperature=temperature,
            weight=1.0,
            temperature_squared=temperature_squared,
            reduction="none",
        )
        errors.append(_replicates(losses - limit))
    return Rate.of(_HORIZONS, torch.stack(errors, dim=1), expected=-1.0, margin=0.05)


# -- 1.4 the gradient ------------------------------------------------------------------------------------


def _loss_reversed(student_logits, teacher_logits, labels, /, *, _true=kd_loss, **options):
    return _true(student_logits, teacher_logits, labels, **{**options, "soft": "reverse_kl"})


def _loss_without_t_squared(student_logits, teacher_logits, labels, /, *, _true=kd_loss, **options):
    return _true(student_logits, teacher_logits, labels, **{**options, "temperature_squared": False})


@claim(
    section="1.4",
    formula=r"\frac{\partial L}{\partial z_s} = \lambda T\bigl(\varphi_T(z_s) - \varphi_T(z_t)\bigr)"
    r" + (1-\lambda)\bigl(\varphi_1(z_s) - e_y\bigr)",
    source=HINTON,
    assumes=("0 ≤ λ ≤ 1 and T > 0.",),
    control=Control("λ is read as the weight of the labels", weight_on="labels"),
    uses=(kd_loss, kd_gradient),
    mutants=(
        Mutant("the gradient lacks its factor T", kd_gradient, _gradient_without_t),
        Mutant("the divergence is reversed", kd_loss, _loss_reversed),
        Mutant("the loss lacks its factor T²", kd_loss, _loss_without_t_squared),
    ),
)
def kd_gradient_is_the_closed_form(setting: Setting, /, *, weight_on: str = "teacher") -> Evidence:
    """The loss λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)) has the gradient λT(φ_T(z_s) − φ_T(z_t)) +
    (1−λ)(φ_1(z_s) − e_y) in the student's logits; λ weighs the teacher.

    How it's judged: automatic differentiation of the loss against the closed form, on logits on real images, each
    example with its own T, log-uniform in [0.2, 20], and its own λ, uniform in [0, 1]. With λ on the labels instead the
    two differ wherever λ is not 1/2.
    """
    student, teacher, labels = _logits(setting, setting.size(quick=300, full=3000))
    temperature = _between(0.2, 20, len(student), setting.stream.child("temperature"))
    weight = torch.rand(len(student), generator=setting.stream.child("weight").torch(), dtype=torch.float64)
    student.requires_grad_()
    read = weight if weight_on == "teacher" else 1 - weight
    loss = kd_loss(student, teacher, labels, temperature=temperature, weight=read, reduction="sum")
    (found,) = torch.autograd.grad(loss, student)
    stated = kd_gradient(student.detach(), teacher, labels, temperature=temperature, weight=weight)
    return Identity.of(found, stated, tolerance=1e-10)


# -- 1.5 conventions -------------------------------------------------------------------------------------

AGREEING = tuple(sorted(name for name, entry in CONVENTIONS.items() if entry.differs is None))


def _loss_with_weights_swapped(
    student_logits, teacher_logits, labels, /, *, weight, hard_weight, _true=kd_loss, **options
):
    return _true(student_logits, teacher_logits, labels, weight=hard_weight, hard_weight=weight, **options)


def _best_pair(gradient: Tensor, soft: Tensor, hard: Tensor) -> tuple[float, float]:
    """The multiples of the two reference gradients that come closest: what a rescaling could do at best."""
    basis = torch.stack([soft.reshape(-1), hard.reshape(-1)], dim=1)
    a, b = torch.linalg.lstsq(basis, gradient.reshape(-1, 1)).solution.reshape(-1).tolist()
    return a, b


@claim(
    section="1.5",
    formula=r"\nabla L_{\text{code}} = a\,\nabla\bigl(T^2\,\mathrm{KL}\bigr) + b\,\nabla\mathrm{CE},\quad (a,b)\text{ as documented}",
    source=HINTON,
    assumes=(POSITIVE,),
    control=Control("the soft term is the squared distance of the softmaxes", codes=("kd_lib",)),
    uses=(kd_loss, kd_gradient),
    mutants=(
        Mutant("T² is forgotten", kd_loss, _loss_without_t_squared),
        Mutant("the weights of teacher and labels are swapped", kd_loss, _loss_with_weights_swapped),
        Mutant("the reference gradient lacks its factor T", kd_gradient, _gradient_without_t),
    ),
)
def codes_in_use_agree_after_rescaling(setting: Setting, /, *, codes: tuple[str, ...] = AGREEING) -> Evidence:
    """The distillation losses of the codes in use (with T² or without, KL or cross-entropy, λ on the teacher or on the
    labels, two free weights) have one gradient after the rescaling that is documented for each.

    How it's judged: automatic differentiation of each code's loss on a batch of real images against a and b times the
    gradients of the reference terms, at T = 1/2, 2, 4. A code without a documented pair (a, b) is given the pair that
    fits best. No pair fits the squared distance of softmaxes: it is another loss.
    """
    student, teacher, labels = _logits(setting, setting.size(quick=100, full=1000), spread=3.0)
    student.requires_grad_()
    classes, rows = student.shape[-1], len(student)
    parts: dict[str, Evidence] = {}
    for name in codes:
        found, stated = [], []
        for temperature in (0.5, 2.0, 4.0):
            loss = CONVENTIONS[name].loss(student, teacher, labels, temperature=temperature)
            (gradient,) = torch.autograd.grad(loss, student)
            soft, hard = (
                kd_gradient(student.detach(), teacher, labels, temperature=temperature, weight=weight) / rows
                for weight in (1.0, 0.0)
            )
            pair = CONVENTIONS[name].rescaling(temperature=temperature, num_classes=classes)
            a, b = pair or _best_pair(gradient, soft, hard)
            found.append(gradient)
            stated.append(a * soft + b * hard)
        parts[name] = Identity.of(torch.cat(found), torch.cat(stated), tolerance=1e-10)
    return Joint(parts=parts)


def _weights_on_the_other_side(
    student_logits, teacher_logits, /, *, beta, continuous=False, _true=jensen_shannon
):
    return _true(student_logits, teacher_logits, beta=beta, continuous=not continuous)


def _mixture_of_logarithms(student_logits, teacher_logits, /, *, beta, continuous=False):
    log_s, log_t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    if beta in (0, 1):
        return kl_divergence(student_logits, teacher_logits)
    log_m = beta * log_t + (1 - beta) * log_s
    weight = 1 - beta if continuous else beta
    to_mixture = weight * log_t.exp() * (log_t - log_m) + (1 - weight) * log_s.exp() * (log_s - log_m)
    return to_mixture.sum(-1)


@claim(
    section="1.5",
    formula=r"\mathrm{JSD}_\beta = \beta\,\mathrm{KL}(p_t\|m) + (1-\beta)\,\mathrm{KL}(p_s\|m) "
    r"\le \beta\,\mathrm{KL}(p_t\|p_s),\qquad m = \beta p_t + (1-\beta)p_s",
    source="agarwal2024onpolicy",
    assumes=("Student and teacher allow the same classes.",),
    control=Control("the two weights are swapped: the continuous form", continuous=True),
    uses=(jensen_shannon,),
    mutants=(
        Mutant("the two weights are swapped", jensen_shannon, _weights_on_the_other_side),
        Mutant("the mixture is one of logarithms", jensen_shannon, _mixture_of_logarithms),
    ),
)
def generalised_jsd_jumps_at_its_endpoint(setting: Setting, /, *, continuous: bool = False) -> Evidence:
    """The generalised Jensen–Shannon loss vanishes like β as β → 0, below β·KL(p_t‖p_s), while the endpoint β = 0 is set
    to KL(p_t‖p_s): near the end, β is a step size and not a direction.

    How it's judged: on logits on real images, the loss over β = 10⁻³ … 10⁻⁸ has slope 1 ± 0.05 in β, one slope per
    batch; it lies below β·KL(p_t‖p_s) everywhere, since a mixture of two is closer to both in the mean than the student
    is; and at β = 0 it is KL(p_t‖p_s). With the weights swapped it tends to KL(p_t‖p_s) without a jump: slope 0.
    """
    student, teacher, _ = _logits(setting, setting.size(quick=240, full=2400), spread=1.5)
    shares = [10.0**-power for power in range(3, 9)]
    losses = torch.stack(
        [jensen_shannon(student, teacher, beta=beta, continuous=continuous) for beta in shares], dim=1
    )
    forward = kl_divergence(student, teacher)
    slopes = torch.stack([_replicates(losses[:, i]) for i in range(len(shares))], dim=1)
    return Joint(
        parts={
            "vanishes like β": Rate.of(shares, slopes, expected=1.0, margin=0.05),
            "below β·KL": Inequality.of(losses, forward.unsqueeze(-1) * torch.tensor(shares), slack=1e-12),
            "is KL at β = 0": Identity.of(
                jensen_shannon(student, teacher, beta=0.0, continuous=continuous), forward, tolerance=1e-12
            ),
        }
    )


# -- 1.6 transformed teacher matching --------------------------------------------------------------------


def _renyi_unnormalised(logits, /, *, order, _true=renyi_entropy):
    return _true(logits, order=order) * (1 - order)


def _teacher_entropy_at_one(student_logits, teacher_logits, /, *, temperature, _true=zheng24_terms):
    terms = _true(student_logits, teacher_logits, temperature=temperature)
    return {**terms, "teacher_entropy": (temperature - 1) * entropy(teacher_logits)}


@claim(
    section="1.6",
    formula=r"\mathrm{KL}(p_T\|q) = T\,\mathrm{KL}(p_T\|q_T) - (T-1)\,H_{1/T}(q) + (T-1)\,H(p_T)",
    source="zheng2024knowledge",
    assumes=(POSITIVE,),
    control=Control("the Rényi entropy has order T in place of 1/T", order="T"),
    uses=(transformed_teacher_matching, zheng24_terms, renyi_entropy),
    mutants=(
        Mutant("the Rényi entropy lacks its factor 1/(1−α)", renyi_entropy, _renyi_unnormalised),
        Mutant("the teacher's entropy is taken at T = 1", zheng24_terms, _teacher_entropy_at_one),
    ),
)
def transformed_teacher_matching_rewards_renyi_entropy(
    setting: Setting, /, *, order: str = "1/T"
) -> Evidence:
    """Dropping the temperature on the student's side only, KL(p_T‖q), is distillation at T times T plus a reward for the
    student's Rényi entropy of order 1/T, up to a term of the teacher alone.

    How it's judged: the two sides on logits on real images at T = 1/2, 1, 3/2, 4, 10. With the order T in place of 1/T
    they agree at T = 1 only.
    """
    student, teacher, _ = _logits(setting, setting.size(quick=100, full=1000), spread=3.0)
    left, right = [], []
    for temperature in (0.5, 1.0, 1.5, 4.0, 10.0):
        terms = zheng24_terms(student, teacher, temperature=temperature)
        if order == "T":
            terms["renyi_entropy"] = (1 - temperature) * renyi_entropy(student, order=temperature)
        left.append(transformed_teacher_matching(student, teacher, temperature=temperature))
        right.append(sum(terms.values()))
    return Identity.of(torch.stack(left), torch.stack(right), tolerance=1e-10)

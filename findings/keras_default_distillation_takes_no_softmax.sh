#!/usr/bin/env bash
# keras.distillation.LogitsDistillation, at its default, compares logits and takes no softmax and no T^2.
#
# Expected: its docstring speaks of a temperature for the softmax, its default is loss="kl_divergence", and the code has
# a branch for the divergence that takes softmaxes and multiplies by T^2 "per literature" (Hinton et al. 2015).
# Adding a constant to a student's logits, which changes no probability, then changes nothing.
# Seen: the string becomes a function, and that branch asks for an instance of the class KLDivergence. Logits over T
# are clipped to [1e-7, 1] and compared as if they were probabilities: the value is another one, depends on
# constants, may be negative, and only logits between 0 and T have a gradient. With loss=KLDivergence() it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile keras==3.15.1 torch==2.13.0
KERAS_BACKEND=torch "$folder/env/bin/python" - <<'PYTHON'
import keras
import numpy as np

student, teacher = np.array([[2.0, -1.0, 0.5]]), np.array([[0.2, 1.0, -2.0]])


def divergence(student, teacher, temperature=2.0):
    log_p, log_q = (z / temperature - np.log(np.exp(z / temperature).sum()) for z in (teacher, student))
    return float((np.exp(log_p) * (log_p - log_q)).sum()) * temperature**2


def by_keras(student, teacher, **how):
    return float(keras.distillation.LogitsDistillation(temperature=2.0, **how).compute_loss(teacher, student))


print("keras", keras.__version__)
defaults = []
for shift in (0.0, 3.0):
    moved = student + shift
    named = by_keras(moved, teacher, loss=keras.losses.KLDivergence())
    default, expected = by_keras(moved, teacher), divergence(moved, teacher)
    print(f"logits + {shift}: default {default:.4f}, KLDivergence() {named:.4f}, T^2 KL {expected:.4f}")
    assert abs(named - expected) < 1e-3
    assert abs(default - expected) > 0.1, "the default is the divergence now"
    defaults.append(default)
least = by_keras(np.array([[2.0, 2.0, 2.0]]), np.array([[0.5, 0.5, 0.5]]))
beyond = by_keras(np.array([[9.0, -9.0, 0.5]]), teacher) - by_keras(np.array([[2.1, -0.1, 0.5]]), teacher)
print(f"of logits 2 and the teacher's 0.5: {least:.4f}; the same beyond 0 and T: {beyond:.1e} apart")
assert defaults[0] != defaults[1] and least < 0 and beyond == 0, "the default compares something else now"
PYTHON

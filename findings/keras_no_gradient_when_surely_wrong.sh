#!/usr/bin/env bash
# keras.distillation.LogitsDistillation(loss=KLDivergence()) gives a student that is surely wrong no gradient at all.
#
# Expected: KL(p_teacher || p_student) of softened logits times T^2 (Hinton et al. 2015), whose derivative in the
# student's logits is T(p_student - p_teacher): the larger the error, the larger the pull, and at 20 logits apart
# the divergence is 20.
# Seen: they are clipped to [1e-7, 1]. Where the student gives the teacher's class less than 1e-7, 16.2 logits
# apart, the loss stops growing at 16.1 and is flat: nothing pulls the student back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile keras==3.15.1 torch==2.13.0
KERAS_BACKEND=torch "$folder/env/bin/python" - <<'PYTHON'
import keras
import numpy as np

loss = keras.distillation.LogitsDistillation(temperature=1.0, loss=keras.losses.KLDivergence())
teacher = np.array([[0.0, 30.0]])


def by_keras(gap):
    return float(loss.compute_loss(teacher, np.array([[gap, 0.0]])))


def divergence(gap):
    log_p, log_q = (z - np.logaddexp(*z) for z in (teacher[0], np.array([gap, 0.0])))
    return float((np.exp(log_p) * (log_p - log_q)).sum())


print("keras", keras.__version__)
print("gap of the student's logits, by Keras, its slope, KL, its slope")
for gap in (10.0, 15.0, 20.0, 40.0):
    slopes = [(side(gap + 0.01) - side(gap - 0.01)) / 0.02 for side in (by_keras, divergence)]
    print(f"{gap:5.0f}{by_keras(gap):10.4f}{slopes[0]:8.4f}{divergence(gap):10.4f}{slopes[1]:8.4f}")
assert abs(by_keras(10.0) - divergence(10.0)) < 1e-3
assert by_keras(20.0) == by_keras(40.0), "the loss grows again"
PYTHON

#!/usr/bin/env bash
# keras.distillation.LogitsDistillation(loss="categorical_crossentropy") hands logits to a loss of probabilities.
#
# Expected: the class docstring shows loss="categorical_crossentropy" as the way to distil by cross-entropy, for
# outputs that are logits. A cross-entropy of softened logits is least where the student says what the teacher
# says, and does not change when a constant is added to all of a student's logits.
# Seen: only KLDivergence gets a softmax; any other loss named by a string gets z/T as it is, and its default
# takes them for probabilities: it divides by their sum and clips to [1e-7, 1]. A student far off the teacher
# has a lower loss than the teacher's own logits, and a constant changes the value.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile keras==3.15.1 numpy scipy
KERAS_BACKEND=numpy "$folder/env/bin/python" - <<'PYTHON'
import keras
import numpy as np

loss = keras.distillation.LogitsDistillation(temperature=2.0, loss="categorical_crossentropy")
teacher = np.array([[4.0, 1.0, 0.5]])


def value(student):
    return float(loss.compute_loss(teacher, np.array([student])))


def cross_entropy(student):
    soft = np.exp(teacher / 2) / np.exp(teacher / 2).sum()
    z = np.array([student]) / 2
    return float(-(soft * (z - np.log(np.exp(z).sum()))).sum())


same, moved, wrong = [4.0, 1.0, 0.5], [9.0, 6.0, 5.5], [4.0, -3.0, -3.0]
print("keras", keras.__version__)
print("student, by Keras, cross-entropy of the softened logits")
for name, student in {"the teacher's logits": same, "the same plus 5": moved, "far off": wrong}.items():
    print(f"{name:22}{value(student):10.4f}{cross_entropy(student):10.4f}")
assert abs(cross_entropy(same) - cross_entropy(moved)) < 1e-9 and cross_entropy(same) < cross_entropy(wrong)
assert abs(value(same) - value(moved)) > 0.1, "a constant no longer changes the loss"
PYTHON

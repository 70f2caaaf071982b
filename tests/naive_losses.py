"""Slow rivals of the losses on features and relations: one example, one pair, one position at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Vector = Sequence[float]


def vectors(features: Tensor) -> list[list[float]]:
    return features.flatten(1).tolist()


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def minus(a: Vector, b: Vector) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def huber(x: float) -> float:
    return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5


def softmax(values: Vector) -> list[float]:
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    return [weight / sum(weights) for weight in weights]


def hint(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for s, t in zip(vectors(student), vectors(teacher), strict=True):
        total += norm(minus(t, s)) ** 2 / 2
    return total / len(student)


def spatial_map(maps: list) -> list[list[float]]:
    """(1/C) Σ_c |A_{c,i,j}| of one example."""
    channels, height, width = len(maps), len(maps[0]), len(maps[0][0])
    return [
        [sum(abs(maps[c][i][j]) for c in range(channels)) / channels for j in range(width)]
        for i in range(height)
    ]


def channel_map(maps: list) -> list[float]:
    """(1/HW) Σ_ij |A_{c,i,j}| of one example."""
    return [
        sum(abs(x) for row in channel for x in row) / (len(channel) * len(channel[0])) for channel in maps
    ]


def flat(rows: list[list[float]]) -> list[float]:
    return [x for row in rows for x in row]


def attention_transfer(student: Tensor, teacher: Tensor, power: float) -> float:
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        sides = []
        for maps in (s, t):
            q = [
                sum(abs(maps[c][i][j]) ** power for c in range(len(maps)))
                for i in range(len(maps[0]))
                for j in range(len(maps[0][0]))
            ]
            sides.append([x / norm(q) for x in q])
        total += norm(minus(*sides)) ** 2
    return total / len(student)


def masks(student: list, teacher: list, temperature: float, form: str) -> tuple[list[float], list[float]]:
    """Both masks of one example, flattened."""
    found = []
    for s, t in (
        (flat(spatial_map(student)), flat(spatial_map(teacher))),
        (channel_map(student), channel_map(teacher)),
    ):
        if form == "joint":
            chances = softmax([(a + b) / temperature for a, b in zip(s, t, strict=True)])
        else:
            one, other = softmax([a / temperature for a in s]), softmax([b / temperature for b in t])
            chances = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
        found.append([len(s) * chance for chance in chances])
    return found[0], found[1]


def attention_guided(student: Tensor, teacher: Tensor, temperature: float, form: str) -> tuple[float, float]:
    """L_AT and L_AM."""
    maps = masked = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        maps += norm(minus(flat(spatial_map(s)), flat(spatial_map(t))))
        maps += norm(minus(channel_map(s), channel_map(t)))
        places, channels = masks(s, t, temperature, form)
        total = 0.0
        for c, (one, other) in enumerate(zip(s, t, strict=True)):
            for place, (a, b) in enumerate(zip(flat(one), flat(other), strict=True)):
                total += (b - a) ** 2 * places[place] * channels[c]
        masked += math.sqrt(total)
    return maps / len(student), masked / len(student)


def non_local(maps: list, rows: int | None = None, columns: int | None = None) -> list[list[list[float]]]:
    """r of one example with f the inner product and g the identity, as [i][j][c]; i′ < rows, j′ < columns."""
    channels, height, width = len(maps), len(maps[0]), len(maps[0][0])

    def at(i: int, j: int) -> list[float]:
        return [maps[c][i][j] for c in range(channels)]

    relation = [[[0.0] * channels for _ in range(width)] for _ in range(height)]
    for i in range(height):
        for j in range(width):
            for i2 in range(rows or height):
                for j2 in range(columns or width):
                    weight = dot(at(i, j), at(i2, j2)) / (height * width)
                    for c in range(channels):
                        relation[i][j][c] += weight * maps[c][i2][j2]
    return relation


SIMILARITIES: dict[str, Callable[[Vector, Vector], float]] = {
    "euclidean": lambda a, b: norm(minus(a, b)) ** 2,
    "linear": dot,
    "polynomial": lambda a, b: dot(a, b) ** 2,
    "rbf": lambda a, b: math.exp(-(norm(minus(a, b)) ** 2) / 2),
}


def local_structure(features: Tensor, edges: list[list[bool]], similarity: str) -> list[list[float]]:
    rows, s = vectors(features), SIMILARITIES[similarity]
    found = []
    for i, a in enumerate(rows):
        weights = [math.exp(s(a, b)) if edges[i][j] else 0.0 for j, b in enumerate(rows)]
        found.append([weight / sum(weights) for weight in weights])
    return found


def local_structure_loss(student: Tensor, teacher: Tensor, edges: list[list[bool]], similarity: str) -> float:
    sides = [local_structure(side, edges, similarity) for side in (student, teacher)]
    total = 0.0
    for p_row, q_row in zip(*sides, strict=True):
        total += sum(p * math.log(p / q) for p, q in zip(p_row, q_row, strict=True) if p > 0)
    return total / len(student)


def relational_distance(student: Tensor, teacher: Tensor) -> float:
    n, tables = len(student), []
    for rows in (vectors(student), vectors(teacher)):
        distances = {(i, j): norm(minus(rows[i], rows[j])) for i in range(n) for j in range(n) if i != j}
        positive = [distance for distance in distances.values() if distance > 0]
        mean = sum(positive) / len(positive)
        tables.append({pair: distance / mean for pair, distance in distances.items()})
    return sum(huber(tables[0][pair] - tables[1][pair]) for pair in tables[0]) / len(tables[0])


def relational_angle(student: Tensor, teacher: Tensor) -> float:
    n, total, count = len(student), 0.0, 0

    def cosine(rows: list[list[float]], i: int, j: int, k: int) -> float:
        one, other = minus(rows[i], rows[j]), minus(rows[k], rows[j])
        return dot(one, other) / (norm(one) * norm(other)) if norm(one) and norm(other) else 0.0

    s, t = vectors(student), vectors(teacher)
    for j in range(n):
        for i in range(n):
            for k in range(n):
                if len({i, j, k}) == 3:
                    total += huber(cosine(s, i, j, k) - cosine(t, i, j, k))
                    count += 1
    return total / count


def flow_matrix_loss(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]) -> float:
    total = 0.0
    for example in range(len(student[0])):
        grams = []
        for first, second in (student, teacher):
            a, b = first[example].flatten(1).tolist(), second[example].flatten(1).tolist()
            grams.append([[dot(one, other) / len(one) for other in b] for one in a])
        total += norm(minus(flat(grams[0]), flat(grams[1]))) ** 2
    return total / len(student[0])


def similarity_preserving(student: Tensor, teacher: Tensor) -> float:
    grams = []
    for rows in (vectors(student), vectors(teacher)):
        gram = [[dot(a, b) for b in rows] for a in rows]
        grams.append([[x / norm(row) for x in row] for row in gram])
    return norm(minus(flat(grams[0]), flat(grams[1]))) ** 2 / len(student) ** 2


def correlation_congruence(student: Tensor, teacher: Tensor, gamma: float, order: int | None) -> float:
    kernels = []
    for rows in (vectors(student), vectors(teacher)):
        units = [[x / norm(row) for x in row] for row in rows]
        kernel = []
        for a in units:
            for b in units:
                if order is None:
                    kernel.append(math.exp(-gamma * norm(minus(a, b)) ** 2))
                else:
                    terms = [(2 * gamma * dot(a, b)) ** p / math.factorial(p) for p in range(order + 1)]
                    kernel.append(math.exp(-2 * gamma) * sum(terms))
        kernels.append(kernel)
    return norm(minus(*kernels)) ** 2 / len(student) ** 2


def probabilistic_transfer(student: Tensor, teacher: Tensor, with_itself: bool) -> float:
    tables = []
    for rows in (vectors(student), vectors(teacher)):
        table = []
        for i, a in enumerate(rows):
            weights = [
                (dot(a, b) / (norm(a) * norm(b)) + 1) / 2 if with_itself or i != j else 0.0
                for j, b in enumerate(rows)
            ]
            table.append([weight / sum(weights) for weight in weights])
        tables.append(table)
    total = 0.0
    for q_row, p_row in zip(*tables, strict=True):
        total += sum(p * math.log(p / max(q, 1e-7)) for p, q in zip(p_row, q_row, strict=True) if p > 0)
    return total / len(student)

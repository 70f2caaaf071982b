"""One-line wrong versions of a module, from its syntax tree.

What changes nothing is left out by rule: docstrings, messages (f-strings, what is raised), annotations,
decorators, `__all__`, and the numbers of names that say how long or in what portions something is done
(`AIMS_NOT_AT_VALUES`).
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mutation", "mutations"]

AIMS_NOT_AT_VALUES = re.compile(
    r"block|chunk|tile|thread|bytes|entries|memory|budget|tolerance|xtol|rtol|atol|max_iter|maxiter|iterations"
    r"|portion|at_once|stacklevel|maxsize|^name$|^device$|^strict$|^non_blocking$",
    re.IGNORECASE,
)
EXCHANGED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
EDGE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE,
}  # fmt: skip
PAIRS = [
    ("min", "max"), ("amin", "amax"), ("minimum", "maximum"), ("clamp_min", "clamp_max"), ("floor", "ceil"),
    ("argmin", "argmax"), ("sum", "mean"), ("any", "all"), ("log", "log1p"), ("exp", "expm1"), ("sf", "cdf"),
    ("sin", "cos"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("softmax", "log_softmax"),
    ("logical_and", "logical_or"), ("ppf", "isf"), ("triu", "tril"), ("sqrt", "square"),
]  # fmt: skip
NEIGHBOUR = dict(PAIRS) | {second: first for first, second in PAIRS}
DROPPED = {
    "abs", "sqrt", "square", "log", "exp", "clamp", "clamp_min", "clamp_max", "relu", "sign", "cumsum",
    "flip", "diff", "ceil", "floor", "double", "arcsin", "arccos", "roll", "neg", "log_softmax", "softmax",
    "sort",
}  # fmt: skip

UNSWAPPED = {"getattr", "isinstance", "issubclass", "hasattr", "min", "max", "minimum", "maximum", "cat"}
"""Whose first two arguments may change places, or must not."""


@dataclass(frozen=True)
class Mutation:
    """A module, the bytes that are replaced, and by what.

    Args:
        module: path of the file, from the root.
        line: where it begins, from 1.
        operator: what was done.
        was, becomes: the line before and after, without indentation.
        start, end, text: the replacement, in bytes of UTF-8.
    """

    module: str
    line: int
    operator: str
    was: str
    becomes: str
    start: int
    end: int
    text: str

    @classmethod
    def at(cls, module: str, source: str, span: tuple[int, int], operator: str, text: str) -> Mutation:
        """The bytes of the span replaced by the text."""
        code = source.encode()
        first = code.rfind(b"\n", 0, span[0]) + 1
        last = (code.find(b"\n", span[1]) + 1 or len(code) + 1) - 1
        was = code[first:last].decode().strip().splitlines()[0]
        changed = (code[first : span[0]] + text.encode() + code[span[1] : last]).decode()
        line = code[: span[0]].count(b"\n") + 1
        return cls(module, line, operator, was, changed.strip().splitlines()[0], *span, text)

    @classmethod
    def of_text(cls, module: str, source: str, was: str, becomes: str) -> Mutation:
        """One text replaced by another."""
        start = source.encode().index(was.encode())
        return cls.at(module, source, (start, start + len(was.encode())), "named", becomes)

    def applied(self, source: str) -> str:
        """The wrong version of the source."""
        code = source.encode()
        return (code[: self.start] + self.text.encode() + code[self.end :]).decode()

    @property
    def key(self) -> tuple[str, str, str]:
        """What the wrong version is known by, wherever its line has moved to."""
        return self.module, self.was, self.becomes

    @property
    def row(self) -> dict[str, str]:
        """Its part of the table."""
        return {name: str(getattr(self, name)) for name in ("module", "line", "operator", "was", "becomes")}


def mutations(module: str, source: str) -> list[Mutation]:
    """Every wrong version of a module that the rules know, each once, in the order of the lines."""
    found: dict[tuple[str, str, str], Mutation] = {}
    ends = [0]
    for line in source.encode().splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    for node, local in _sites(ast.parse(source), frozenset()):
        for operator, wrong in _alternatives(node, local):
            text = ast.unparse(wrong)
            if isinstance(wrong, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp):
                text = f"({text})"
            span = ends[node.lineno - 1] + node.col_offset, ends[node.end_lineno - 1] + node.end_col_offset
            made = Mutation.at(module, source, span, operator, text)
            if made.was != made.becomes:
                found.setdefault(made.key, made)
    return list(found.values())


def _sites(node: ast.AST, local: frozenset[str]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """The nodes that may be changed, with the local names of their function."""
    skipped: set[str] = set()
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return
        case ast.Expr(value=ast.Constant()):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Assign(targets=[ast.Name(id=name)]) if name == "__all__" or AIMS_NOT_AT_VALUES.search(name):
            return
        case ast.keyword(arg=str(name)) if AIMS_NOT_AT_VALUES.search(name):
            return
        case ast.AnnAssign():
            skipped = {"annotation", "target"}
            if isinstance(node.target, ast.Name) and AIMS_NOT_AT_VALUES.search(node.target.id):
                return
        case ast.FunctionDef():
            skipped = {"decorator_list", "returns"}
            stores = {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            local = frozenset(stores | {argument.arg for argument in node.args.args})
        case ast.ClassDef():
            skipped = {"decorator_list", "bases"}
        case ast.arguments():
            plain = node.posonlyargs + node.args
            pairs = [*zip(plain[len(plain) - len(node.defaults) :], node.defaults, strict=True)]
            pairs += [*zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            for argument, default in pairs:
                if default is not None and not AIMS_NOT_AT_VALUES.search(argument.arg):
                    yield from _sites(default, local)
            return
        case ast.match_case():
            skipped = {"pattern"}
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            skipped = {"operand"}
    yield node, local
    for name, value in ast.iter_fields(node):
        if name not in skipped:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _sites(child, local)


def _alternatives(node: ast.AST, local: frozenset[str]) -> Iterator[tuple[str, ast.AST]]:
    """What was done, and the node that takes the place."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            yield "axis or number changed", ast.Constant(0)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            yield "number changed", ast.UnaryOp(ast.USub(), ast.Constant(_numbers(value)[0]))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield "sign or negation left out", node.operand
        case ast.Constant(value=bool()):
            yield "flag turned", ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield from (("number changed", ast.Constant(value)) for value in _numbers(node.value))
        case ast.BinOp():
            yield from _binary(node)
        case ast.BoolOp():
            yield "and, or exchanged", _changed(node, op=EXCHANGED[type(node.op)]())
            yield "condition left out", node.values[0]
        case ast.Compare(ops=[operator]):
            yield "edge of a comparison", _changed(node, ops=[EDGE[type(operator)]()])
            if type(operator) in OPPOSITE:
                yield "comparison turned", _changed(node, ops=[OPPOSITE[type(operator)]()])
        case ast.Compare(ops=[first, *rest]):
            yield "edge of a comparison", _changed(node, ops=[EDGE[type(first)](), *rest])
            yield "edge of a comparison", _changed(node, ops=[*node.ops[:-1], EDGE[type(node.ops[-1])]()])
        case ast.Attribute(attr="mT" | "T"):
            yield "transposition left out", node.value
        case ast.IfExp():
            yield "branch taken always", node.body
            yield "branch taken always", node.orelse
        case ast.Call():
            yield from _called(node)
        case ast.Return(value=ast.Name(id=name)):
            for other in sorted(local - {name})[:3]:
                yield "neighbour returned", ast.Return(ast.Name(other))
        case ast.Expr(value=ast.Call()):
            yield "statement left out", ast.Pass()
        case ast.AugAssign(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
            yield "operator exchanged", _changed(node, op=EXCHANGED[type(node.op)]())


def _binary(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
        return
    if type(node.op) in EXCHANGED:
        yield "operator exchanged", _changed(node, op=EXCHANGED[type(node.op)]())
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow | ast.BitAnd | ast.BitOr):
        yield "term or factor left out", node.left
    if isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
        yield "term or factor left out", node.right
    if isinstance(node.op, ast.Sub):
        yield "sign turned", _changed(node, left=node.right, right=node.left)


def _called(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in NEIGHBOUR:
        key = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield "function exchanged", _changed(node, func=_changed(node.func, **{key: NEIGHBOUR[name]}))
    if name in DROPPED and isinstance(node.func, ast.Attribute):
        root = node.func.value
        if not (isinstance(root, ast.Name) and root.id in {"torch", "np", "math", "numpy"}):
            yield "function left out", root
        elif node.args:
            yield "function left out", node.args[0]
    plain = not any(isinstance(argument, ast.Starred | ast.Constant) for argument in node.args[:2])
    if len(node.args) >= 2 and plain and name not in UNSWAPPED:
        yield "arguments exchanged", _changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    for place, keyword in enumerate(node.keywords):
        settled = isinstance(keyword.value, ast.Constant | ast.UnaryOp | ast.Attribute)
        if keyword.arg and settled and not AIMS_NOT_AT_VALUES.search(keyword.arg):
            rest = node.keywords[:place] + node.keywords[place + 1 :]
            yield "argument left out", _changed(node, keywords=rest)


def _numbers(value: int | float) -> list[int | float]:
    if isinstance(value, int):
        return [value + 1, value - 1] if value > 0 else [value + 1]
    if value == 0 or abs(value) > 1e-3:
        return [value + 1.0 if value == 0 else value * 2, value / 2 + 0.1]
    return [value * 1000]


def _changed(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made

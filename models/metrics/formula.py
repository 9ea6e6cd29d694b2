"""Formulas of recipes: arithmetic on named terms, as PromQL or computed from arrays.

A formula is written as people write it: `clamp(1 - idle / all)`. It has numbers, terms, `+ - * /`, parentheses,
`clamp(x)`, which limits x to [0, 1], `max(x, y)`, `now`, the time in seconds since 1970, and `window`, the seconds over
which rates are computed. The y of `max` has no terms: `max(all, 20 / window)` is the rate of at least 20 requests.
Something divided by nothing has no value.
"""

import ast
from collections.abc import Iterator, Mapping

import numpy as np

from core.arrays import FloatArray
from core.errors import InputError

#: The names of the time and of the window of rates in a formula.
NOW, WINDOW = "now", "window"

_OPERATORS: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def parse_formula(text: str) -> ast.expr:
    """The formula as a tree.

    Raises:
        InputError: the text is no formula.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise InputError(f"'{text}' is no formula: {error.msg}") from error
    for node in _operands(tree):
        if not isinstance(node, ast.Name | ast.Constant) or (
            isinstance(node, ast.Constant) and type(node.value) not in (int, float)
        ):
            raise InputError(
                f"'{text}' is no formula: '{ast.unparse(node)}' is no number, term, + - * /, clamp(x) or max(x, y)"
            )
    return tree


def names_in(tree: ast.expr) -> set[str]:
    """The terms of a formula."""
    return {node.id for node in _operands(tree) if isinstance(node, ast.Name)} - {NOW, WINDOW}


def to_promql(tree: ast.expr, terms: Mapping[str, str]) -> str:
    """The formula in PromQL.

    Args:
        terms: name -> PromQL of the term; `WINDOW`: its seconds, where the formula has it.
    Examples:
        >>> to_promql(parse_formula("clamp(1 - idle / all)"), {"idle": "sum(idle_total)", "all": "sum(all_total)"})
        'clamp((1 - (sum(idle_total) / (sum(all_total) != 0))), 0, 1)'
    """
    match tree:
        case ast.Name(id=name):
            return "time()" if name == NOW else terms[name]
        case ast.Constant(value=number):
            return repr(number)
        case ast.UnaryOp(operand=operand):
            return f"(-{to_promql(operand, terms)})"
        case ast.Call(args=[argument]):
            return f"clamp({to_promql(argument, terms)}, 0, 1)"
        case ast.Call(args=[argument, least]):
            return f"clamp_min({to_promql(argument, terms)}, {to_promql(least, terms)})"
        case ast.BinOp(left=left, op=op, right=right):
            second = to_promql(right, terms)
            # What `max` limits from below, and the length of a window, are not 0.
            if isinstance(op, ast.Div) and not (_is_scalar(right) or _has_least(right)):
                second = f"({second} != 0)"
            return f"({to_promql(left, terms)} {_OPERATORS[type(op)]} {second})"
    raise TypeError(f"parse_formula accepts no {ast.dump(tree)}")


def compute(tree: ast.expr, terms: Mapping[str, FloatArray]) -> FloatArray:
    """The values of the formula, as Prometheus computes `to_promql`; NaN where there is none.

    Args:
        terms: name -> values, all of one length; `NOW` and `WINDOW`, where the formula has them.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(_compute(tree, terms), dtype=np.float64)


def _compute(tree: ast.expr, terms: Mapping[str, FloatArray]) -> FloatArray:
    match tree:
        case ast.Name(id=name):
            return terms[name]
        case ast.Constant(value=int() | float() as number):
            return np.asarray(number, dtype=np.float64)
        case ast.UnaryOp(operand=operand):
            return -_compute(operand, terms)
        case ast.Call(args=[argument]):
            return np.clip(_compute(argument, terms), 0.0, 1.0)
        case ast.Call(args=[argument, least]):
            return np.maximum(_compute(argument, terms), _compute(least, terms))
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _compute(left, terms), _compute(right, terms)
            match op:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
                case ast.Mult():
                    return one * other
                case _:
                    quotient: FloatArray = one / np.where(other == 0.0, np.nan, other)
                    return quotient
    raise TypeError(f"parse_formula accepts no {ast.dump(tree)}")


def _operands(tree: ast.expr) -> Iterator[ast.expr]:
    """The numbers and terms of a formula, and whatever else does not belong into one."""
    match tree:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            yield from _operands(left)
            yield from _operands(right)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield from _operands(operand)
        case ast.Call(func=ast.Name(id="clamp"), args=[argument], keywords=[]):
            yield from _operands(argument)
        case ast.Call(func=ast.Name(id="max"), args=[argument, least], keywords=[]) if _is_scalar(least):
            yield from _operands(argument)
            yield from _operands(least)
        case _:
            yield tree


def _has_least(tree: ast.expr) -> bool:
    """Whether a part of a formula is a `max`."""
    return isinstance(tree, ast.Call) and len(tree.args) == 2


def _is_scalar(tree: ast.expr) -> bool:
    """Whether a part of a formula has one value at a time, because it has no terms."""
    return all(
        isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in (NOW, WINDOW))
        for node in _operands(tree)
    )

"""Functions as users write them, such as ``x/(1+x)`` of an eigenvalue: read by a grammar of its own, never executed.

The text is cut into tokens first, each of which must be known; what Python's parser makes of them is then walked, node by
node, and only arithmetic, the variables, constants and the functions below are let through. Values are computed by NumPy on
whole arrays, real or complex, in floating point: no expression takes longer than its few operations.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem

Values = npt.NDArray[Any]

LONGEST = 500
"""Characters of an expression."""
MOST_NODES = 200
DEEPEST = 60

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "arctan": np.arctan,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""All analytic wherever they are finite."""
CONSTANTS = {"e": np.e, "pi": np.pi}
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: np.positive, ast.USub: np.negative}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])|(?P<name>[A-Za-z]\w*)|(?P<sign>\*\*|[-+*/()]))",
    re.ASCII,
)
MOST_NAMES = 30
"""Variables that a refusal lists."""


class Expression:
    """A function of one variable ``x``, or of several.

    Args:
        text: what the user wrote.
        variables: their names, none of them that of a constant or function.

    Attributes:
        names: the variables that the text has.

    Raises:
        InadmissibleProblem: the text is no expression of the grammar, or too long or too deep.
    """

    def __init__(self, text: str, *, variables: Sequence[str] = ("x",)) -> None:
        self._variables = tuple(variables)
        self._way_out = (
            f"use {', '.join(self._variables[:MOST_NAMES])}, numbers, {', '.join(CONSTANTS)}, + - * / ** ( ) and"
            f" {', '.join(FUNCTIONS)}"
        )
        self.names: set[str] = set()
        if len(text) > LONGEST:
            raise _refusal(f"may have {LONGEST} characters, got {len(text)}")
        self._check_tokens(text)
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = getattr(error, "offset", None)
            where = f" at character {place}" if place else ""
            raise _refusal(f"is not complete or not in order{where}, got {text[:60]!r}") from None
        self.text = text
        self._budget = MOST_NODES
        self._function = self._build(tree, 1)

    def __call__(self, x: npt.ArrayLike) -> Values:
        """Return the values at ``x``, real or complex, of its shape; not finite where the function is not."""
        return self.at({self._variables[0]: x})

    def at(self, values: Mapping[str, npt.ArrayLike]) -> Values:
        """Return the values where the variables have these, real or complex and of shapes that broadcast.

        Args:
            values: by name, of all in ``names``; the result has the shape that they broadcast to.
        """
        points = {name: np.asarray(value) for name, value in values.items()}
        points = {name: value if np.iscomplexobj(value) else value.astype(float) for name, value in points.items()}
        shape = np.broadcast_shapes(*(value.shape for value in points.values()))
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self._function(points)), shape)

    def _build(self, node: ast.expr, depth: int) -> Callable[[Mapping[str, Values]], Any]:
        self._budget -= 1
        if self._budget < 0 or depth > DEEPEST:
            raise _refusal(f"may have {MOST_NODES} operations and terms, nested {DEEPEST} deep; simplify it")
        match node:
            case ast.Constant(value=int() | float() as value):
                # As a float at once: the integers of Python grow without bound.
                number = np.float64(_as_float(value))
                return lambda _: number
            case ast.Name(id=name) if name in self._variables:
                self.names.add(name)
                return lambda points: points[name]
            case ast.Name(id=name) if name in CONSTANTS:
                constant = np.float64(CONSTANTS[name])
                return lambda _: constant
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                combine = OPERATORS[type(operator)]
                first, second = self._build(left, depth + 1), self._build(right, depth + 1)
                return lambda points: combine(first(points), second(points))
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in SIGNS:
                turn, inner = SIGNS[type(sign)], self._build(operand, depth + 1)
                return lambda points: turn(inner(points))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
                apply, inner = FUNCTIONS[name], self._build(argument, depth + 1)
                return lambda points: apply(inner(points))
        raise _refusal(f"has a part that is no formula: {ast.unparse(node)[:60]!r}; {self._way_out}")

    def _check_tokens(self, text: str) -> None:
        position = 0
        end = len(text.rstrip())
        if end == 0:
            raise _refusal(f"is empty; {self._way_out}")
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                hint = "; write powers as **" if text[position:].lstrip().startswith("^") else f"; {self._way_out}"
                raise _refusal(
                    f"cannot be read from character {position + 1}: {text[position : position + 20]!r}{hint}"
                )
            name = found["name"]
            if name is not None and name not in self._variables and name not in FUNCTIONS and name not in CONSTANTS:
                raise _refusal(f"names {name[:40]!r}, which is not known; {self._way_out}")
            position = found.end()


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _refusal("has a number that exceeds double precision") from None


def _refusal(sentence: str) -> InadmissibleProblem:
    return InadmissibleProblem(f"the expression {sentence}", argument="expression")

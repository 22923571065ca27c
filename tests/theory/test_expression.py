"""Expressions: what they mean, what is no expression, and that none of them does harm."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.covariance import InadmissibleProblem
from theory.spectra import Expression
from theory.spectra.expression import CONSTANTS, DEEPEST, FUNCTIONS, LONGEST, MOST_NODES

X = np.array([0.5, 1.0, 2.0, 7.25])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", X),
        ("x/(1+x)", X / (1 + X)),
        ("-x**2", -(X**2)),
        ("2**-x", 2**-X),
        ("x**0.5 - sqrt(x)", 0 * X),
        ("log(x + .1) * 1e-3", np.log(X + 0.1) * 1e-3),
        ("exp(-x)*cos(2*pi*x) + e", np.exp(-X) * np.cos(2 * np.pi * X) + np.e),
        ("expm1(log1p(x)) - +x", 0 * X),
        ("tanh(x) - sinh(x)/cosh(x)", 0 * X),
        ("tan(arctan(x)) - x + sin(0)", 0 * X),
        ("  ( ( x ) )\t", X),
        ("3", 3 + 0 * X),
        ("2**3**2 - 512 + x", X),
    ],
)
def test_values(text: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(Expression(text)(X), expected, rtol=1e-13, atol=1e-14)


def test_complex_values() -> None:
    z = X + 1j
    np.testing.assert_allclose(Expression("log(x)/(1+x**2)")(z), np.log(z) / (1 + z**2), rtol=1e-14)


def test_any_shape() -> None:
    assert Expression("1").__call__(np.zeros((2, 3))).shape == (2, 3)
    assert Expression("x+1")(2) == 3.0


@pytest.mark.parametrize("text", ["1/(x-1)", "log(x-1)", "log(1-x)", "9**9**9**x", "1e308*x*100", "sqrt(1-x)"])
def test_what_is_not_finite_comes_out_so(text: str) -> None:
    assert not np.isfinite(Expression(text)(X)).all()


ATTACKS = [
    "__import__('os').system('true')",
    "x.__class__",
    "().__class__.__bases__",
    "exp.__globals__",
    "x.real",
    "open('f')",
    "eval('1')",
    "lambda: x",
    "(lambda x: x)(x)",
    "[x for x in x]",
    "{x: x}",
    "x if x else x",
    "x and x",
    "not x",
    "x == 1",
    "x < 1 < 2",
    "x := 3",
    "x; x",
    "x\nx",
    "x[0]",
    "x[0:1]",
    "*x",
    "log(*x)",
    "log(x=x)",
    "log(x, x)",
    "log()",
    "log",
    "exp(log)",
    "x(x)",
    "(log)(log)",
    "3(x)",
    "f'{x}'",
    "'x'",
    '"x"',
    "b'x'",
    "...",
    "None",
    "True",
    "nan",
    "inf",
    "y",
    "_",
    "__x__",
    "x_",
    "await x",
    "yield x",
    "x @ x",
    "x // 2",
    "x % 2",
    "x ^ 2",
    "x | x",
    "x & x",
    "~x",
    "x << 2",
    "x >> 2",
    "1_000",
    "0x10",
    "0b1",
    "1j",
    "1if 1else x",
    "x#",
    "x\\",
    "x\x00",
    "ｘ",
    "х",
    "１",
    "√x",
    "x²",
    "1e",
    "1.2.3",
    "x x",
    "2x",
    "x2",
    "(x",
    "x)",
    "()",
    "x +",
    "* x",
    "x ** ** x",
    ",",
    "",
    "   ",
    "\n",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(InadmissibleProblem) as refusal:
        Expression(text)
    assert refusal.value.argument == "expression"
    assert str(refusal.value).startswith("the expression ")


@pytest.mark.parametrize(
    "text",
    [
        "x" * (LONGEST + 1),
        "1" * 400,
        "+".join(["x"] * (MOST_NODES // 2 + 20)),
        "-" * (DEEPEST + 1) + "x",
        "(" * 240 + "x" + ")" * 240,
        "-(" * (DEEPEST // 2 + 1) + "x" + ")" * (DEEPEST // 2 + 1) + " - x" * 60,
        "1e999 + x" if not np.isinf(float("1e999")) else "9" * 350,
    ],
)
def test_what_is_too_long_or_too_deep_is_refused(text: str) -> None:
    with pytest.raises(InadmissibleProblem):
        Expression(text)


@pytest.mark.parametrize("text", ["9**9**9", "9**9**9**9**9", "9999999999**9999999999", "2**2**2**2**2**2**x"])
def test_huge_powers_take_no_time(text: str) -> None:
    started = time.process_time()
    Expression(text)(X)
    assert time.process_time() - started < 1.0


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values = Expression(text)(X)
    except InadmissibleProblem:
        return
    assert values.shape == X.shape


NAMES = st.sampled_from(["x", *FUNCTIONS, *CONSTANTS, "1", "2.5", "(", ")", "+", "-", "*", "/", "**", " "])


@given(parts=st.lists(NAMES, max_size=25))
def test_any_tokens_are_read_or_refused(parts: list[str]) -> None:
    try:
        values = Expression("".join(parts))(X)
    except InadmissibleProblem:
        return
    assert values.shape == X.shape

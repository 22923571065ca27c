"""Exact derivatives: the equations once more, over numbers that carry their derivatives by every parameter.

A solved fixed point is not solved again. Its unknown is one more direction beside the parameters; what the equation says of
that direction is eliminated at the end, which is implicit differentiation (:func:`theory.derivatives.dual.eliminated`).
"""

"""Solvers: a value, a status, and how it got there."""

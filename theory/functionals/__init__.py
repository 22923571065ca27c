"""Functionals: quantities read off a mode table or a solved equivalent."""

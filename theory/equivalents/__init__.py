"""Equivalents: each turns features and a regime into the mode table that learners read."""

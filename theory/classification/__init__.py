"""Classifiers with convex losses: what they attain, when the classes are separable, and discriminants."""

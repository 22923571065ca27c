"""Learners: each reads the mode table of the features and answers with errors."""

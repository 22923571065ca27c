"""HTTP and the command line: validates, answers from cache, solves what is small at once."""

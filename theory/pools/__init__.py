"""Learning curves of ridge regression on real rows: what one pool of them says of other sizes and widths."""

from theory.pools.estimation import pool_of_kernel, pool_of_rows
from theory.pools.pool import Pool
from theory.pools.transport import PoolPrediction, predict_pool

__all__ = ["Pool", "PoolPrediction", "pool_of_kernel", "pool_of_rows", "predict_pool"]

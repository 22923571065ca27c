"""``GET /healthz`` and ``GET /readyz``."""

from typing import Literal

from api_schemas.base import Schema, described


class Health(Schema):
    """The process is alive."""

    status: Literal["ok"] = described("Always ok; a process that is not does not answer.", unit="1", example="ok")
    version: str = described("Version of the service.", unit="1", example="0.1.0")


class Readiness(Schema):
    """Predictions are answered; without Redis more slowly, because answers are neither shared nor kept."""

    status: Literal["ready", "degraded"] = described("degraded while Redis is away.", unit="1", example="ready")
    redis: Literal["up", "down"] = described("Whether the cache's server answers.", unit="1", example="up")

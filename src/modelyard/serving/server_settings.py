"""How the server behaves: one model, filled from the command line and the environment."""

import os

from pydantic import Field, model_validator

from modelyard.parameters import Parameters

SETTINGS_VARIABLE = "MODELYARD_SERVING_SETTINGS"
"""JSON of the settings, for the worker processes that the command starts."""


class ServingSettings(Parameters):
    """What ``kedro serve`` can be told."""

    host: str = Field("127.0.0.1", description="Address to listen on; other than loopback only with API keys.")
    port: int = Field(8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    project: tuple[str, ...] = Field((), description="Project to serve, may be repeated; none: all of them.")
    workers: int = Field(1, ge=1, le=64, description="Processes that share the port.")
    poll_s: float = Field(0.5, gt=0, le=60, description="Seconds between two looks at the registry's aliases.")
    max_batch_rows: int = Field(256, ge=1, description="Rows that are predicted together at most.")
    max_wait_ms: float = Field(1.0, ge=0, le=1000, description="How long a first request waits for company, ms.")
    queue_rows: int = Field(2048, ge=1, description="Rows that may wait; beyond them the answer is 503.")
    max_rows: int = Field(
        1000, ge=1, description="Rows of one request, where the project has no limit of its own; beyond: 413."
    )
    max_values: int = Field(20_000, ge=1, description="Fields and entries of lists of one row; beyond them: 413.")
    max_body_mb: float = Field(
        8.0, gt=0, description="Size of one request, MB, also unpacked; beyond it the answer is 413."
    )
    timeout_s: float = Field(
        10.0, gt=0, description="Seconds until a request is given up with 504, where the project has no own."
    )
    client_timeout_s: float = Field(10.0, gt=0, description="Seconds for a request's head, and to go on reading, s.")
    max_connections_per_address: int = Field(256, ge=1, description="Open connections of one client address.")
    max_streams: int = Field(
        4, ge=1, description="Streams of a project at the same time; beyond them the answer is 503."
    )
    load_timeout_s: float = Field(300.0, gt=0, description="Seconds until a version that does not load is refused.")
    shadow_share: float = Field(0.0, ge=0, le=1, description="Share of requests that the challenger scores unseen.")
    canary_share: float = Field(0.0, ge=0, le=1, description="Share of keys that the challenger answers.")
    log_share: float = Field(1.0, ge=0, le=1, description="Share of answered requests that are logged.")
    log_rotate_mb: float = Field(32.0, gt=0, description="Size at which a log segment becomes a Parquet file, MB.")
    log_rotate_s: float = Field(900.0, gt=0, description="Age at which a log segment becomes a Parquet file, s.")
    log_keep_days: float = Field(90.0, gt=0, description="Age at which a file of the request log is deleted, days.")
    log_keep_mb: float = Field(20_000.0, gt=0, description="Size beyond which a project's oldest log files go, MB.")
    access_log: bool = Field(True, description="Write a line for every request, not only for failed ones.")

    @model_validator(mode="after")
    def _the_queue_holds_a_request(self) -> "ServingSettings":
        if self.queue_rows < self.max_rows:
            raise ValueError(f"queue_rows ({self.queue_rows}) must be at least max_rows ({self.max_rows})")
        return self

    @classmethod
    def from_environment(cls) -> "ServingSettings":
        """What :data:`SETTINGS_VARIABLE` says; defaults where it is not set."""
        return cls.model_validate_json(os.environ.get(SETTINGS_VARIABLE) or "{}")

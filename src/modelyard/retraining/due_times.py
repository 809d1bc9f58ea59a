"""The calendar: when a project's retraining is due, and how the starts of many projects are spread."""

from datetime import UTC, datetime
from hashlib import sha256


def with_jitter(cron: str, project: str) -> str:
    """Returns a cron expression with its minute moved later within the same hour, by what the project's name decides.

    Schedules are round numbers: without this, all projects that say Monday at 4:00 would start in one minute. A minute
    that is no plain number (``*/15``) stays as it is.
    """
    minute, _, rest = cron.partition(" ")
    if not minute.isdigit():
        return cron
    left = 60 - int(minute)
    return f"{int(minute) + int(sha256(project.encode()).hexdigest(), 16) % left} {rest}"


def last_due(cron: str, now: datetime) -> datetime:
    """Returns the last time (UTC) up to ``now`` at which ``cron`` was due."""
    # The cron reader that Dagster's own schedules use; it has no public name.
    from dagster._utils.schedules import reverse_cron_string_iterator

    return next(reverse_cron_string_iterator(now.timestamp(), cron, "UTC")).astimezone(UTC)

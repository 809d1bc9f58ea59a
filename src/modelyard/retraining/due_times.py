"""Due times of retrainings: the last one of a cron expression, and a jitter that spreads the projects' starts."""

from datetime import UTC, datetime
from hashlib import sha256


def with_jitter(cron: str, project: str) -> str:
    """Returns a cron expression with its minute moved later within the hour, by a hash of the project's name.

    Schedules tend to be round: without jitter, all projects scheduled for Monday at 4:00 would start in one minute. A
    minute that is not a plain number (``*/15``) is not changed.
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

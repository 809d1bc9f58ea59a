"""Nothing is sent anywhere: every library's telemetry is off unless the user's environment says otherwise."""

import os

_OFF = {
    "DO_NOT_TRACK": "true",  # mlflow and others
    "KEDRO_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
    "DAGSTER_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # MLflow unpickles models by default; nothing here is a pickle, so nothing may be read as one.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


def switch_off() -> None:
    """Sets the libraries' own switches; must run before they are imported. A value already set is respected."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)

"""Kedro's settings."""

from modelyard import hooks
from modelyard.back_ends.environment import environment_variable
from modelyard.passwords import mask_passwords_in_logs
from modelyard.paths import data_directory
from modelyard.startup import telemetry

telemetry.switch_off()
mask_passwords_in_logs()

HOOKS = hooks.HOOKS
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro-mlflow")

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Environments hold differences only: their parameters are merged into the base's, not put in their place.
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"back_ends": ["back_ends*"]},
    "custom_resolvers": {"data": lambda: str(data_directory()), "oc.env": environment_variable},
}

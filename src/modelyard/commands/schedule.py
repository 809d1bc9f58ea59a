"""``kedro schedule``: runs Dagster's webserver and daemon, which retrain on a schedule, on drift and on new data."""

import click

from modelyard.commands.readable_errors import readable_errors


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of Dagster's pages, on the loopback address.")
@click.option("--env", "environment", default="", help="Kedro environment of the retrainings.")
@click.option("--params", default="", help="Parameters of the retrainings, as for kedro run.")
def schedule(port: int, environment: str, params: str) -> None:
    """Retrain by calendar, by drift and on new data, until Ctrl-C; docs/retraining.md."""
    from modelyard.paths import data_directory
    from modelyard.retraining.scheduler import dagster_servers, only_scheduler
    from modelyard.servers import check_ports, run_together

    with readable_errors(), only_scheduler():
        servers = dagster_servers(port, environment=environment, params=params)
        check_ports(servers)
        run_together(servers, data_directory() / "logs", click.echo)

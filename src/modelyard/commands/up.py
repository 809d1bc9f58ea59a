"""``kedro up``: runs MLflow, the model server and Dagster together."""

import click

from modelyard.commands.readable_errors import readable_errors


@click.command()
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of MLflow's pages.")
@click.option("--serve-port", default=8000, show_default=True, help="Port of the model server.")
@click.option("--dagster-port", default=3000, show_default=True, help="Port of Dagster's pages.")
@click.option("--env", "environment", default="", help="Kedro environment of the retrainings.")
@click.option("--params", default="", help="Parameters of the retrainings, as for kedro run.")
def up(mlflow_port: int, serve_port: int, dagster_port: int, environment: str, params: str) -> None:
    """Start MLflow, the model server and Dagster on the loopback address; Ctrl-C ends all of them."""
    import sys

    from modelyard.paths import data_directory
    from modelyard.retraining.scheduler import dagster_servers, only_scheduler
    from modelyard.servers import Server, check_ports, mlflow_servers, run_together

    serve = (sys.executable, "-m", "kedro", "serve", "--port", str(serve_port))
    with readable_errors(), only_scheduler():
        servers = [
            Server(
                name="Play and serve",
                command=serve,
                port=serve_port,
                option="--serve-port",
                answers_at="/healthz",
            ),
            *mlflow_servers(mlflow_port),
            *dagster_servers(dagster_port, environment=environment, params=params, option="--dagster-port"),
        ]
        check_ports(servers)
        run_together(servers, data_directory() / "logs", click.echo)

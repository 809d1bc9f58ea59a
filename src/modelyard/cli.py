"""The commands that this repository adds to ``kedro``; each is imported only when it is used."""

from kedro.framework.cli.utils import LazyGroup

from modelyard.startup import telemetry

telemetry.switch_off()

cli = LazyGroup(
    name="modelyard",
    lazy_subcommands={
        "run": "modelyard.commands.run.run",
        "data": "modelyard.commands.data.data",
        "quarantine": "modelyard.commands.quarantine.quarantine",
        "reproduce": "modelyard.commands.reproduce.reproduce",
        "serve": "modelyard.commands.serve.serve",
        "promote": "modelyard.commands.promote.promote",
        "up": "modelyard.commands.up.up",
        "schedule": "modelyard.commands.schedule.schedule",
        "params": "modelyard.commands.params.params",
        "predict": "modelyard.commands.predict.predict",
        "monitor": "modelyard.commands.monitor.monitor",
        "new-project": "modelyard.commands.new_project.new_project",
    },
)

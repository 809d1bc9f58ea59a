"""Writes Evidently's report on a sample of both sides, for its figures; the verdict does not depend on it.

``import evidently`` also loads its web server, its client and its evaluation of language models; here only the reports
are loaded. They import mostly pandas, scipy, scikit-learn and nltk.
"""

import base64
import gzip
import html
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelyard.startup import telemetry

if TYPE_CHECKING:
    import polars as pl

N_COLUMNS = 30
"""Number of columns with figures, those furthest from the reference; more would make a page of many MB."""

SHOWN_ALARMS = 10
"""Alarms shown in full here and in the terminal; the page folds the others."""

_LOADER = """<script id="packed" type="application/octet-stream">{packed}</script>
<script>
(async () => {{
  const packed = Uint8Array.from(atob(document.getElementById("packed").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.body.appendChild(script);
}})();
</script>"""

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LONG_NUMBER = re.compile(r"-?\d+\.\d{6,}(?:e[-+]?\d+)?")

_HEAD = """<header style="font: 15px/1.5 sans-serif; max-width: 1200px; margin: 24px auto; padding: 0 16px">
<h1 style="font-size: 22px">{title}</h1>
<p><b>{outcome}</b></p>
{alarms}
<p>The figures below show the {n_columns} columns that lie furthest from the reference, {n_rows} rows of each side at
most. What is drifted is decided on all rows, with corrections
for many columns and for rows that resemble each other: see verdict.json. Evidently's own marks below are made on the
sample without them, and may differ.</p>
</header>"""


def load_evidently() -> None:
    """Imports only Evidently's reports; does nothing if Evidently is loaded already."""
    if "evidently" in sys.modules:
        return
    telemetry.switch_off()
    spec = importlib.util.find_spec("evidently")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'evidently'", name="evidently")
    package = ModuleType("evidently")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__, package.__file__ = spec, spec.origin
    sys.modules["evidently"] = package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own deprecated imports warn
        importlib.import_module("evidently.core.report")


def write_html(
    path: Path,
    reference: "pl.DataFrame",
    window: "pl.DataFrame",
    verdict: Mapping[str, Any],
    *,
    min_distance: float,
) -> None:
    """Writes one self-contained page.

    Args:
        path: The file, which appears whole or not at all.
        reference: A sample of the reference.
        window: A sample of the window, with the same columns.
        verdict: The verdict, shown at the top of the page.
        min_distance: Distance from which Evidently marks a column as drifted, as the verdict does.
    """
    from modelyard.files import write_text

    load_evidently()
    from evidently.core.datasets import DataDefinition, Dataset  # type: ignore[import-untyped]  # Evidently brings no types
    from evidently.core.report import Report  # type: ignore[import-untyped]  # Evidently brings no types
    from evidently.presets.drift import DataDriftPreset  # type: ignore[import-untyped]  # Evidently brings no types

    distances = {found["name"]: found["distance"] for found in verdict["columns"] + verdict["prediction"]["columns"]}
    names = [
        name for name in reference.columns if name in distances and reference[name].count() and window[name].count()
    ]
    names = sorted(names, key=lambda name: -distances[name])[:N_COLUMNS]
    numbers = [name for name in names if reference.schema[name].is_numeric()]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in names if name not in numbers]
    )
    sides = [
        Dataset.from_pandas(_for_pandas(side, names, numbers), data_definition=definition)
        for side in (window, reference)
    ]
    report = Report([DataDriftPreset(method="jensenshannon", threshold=min_distance, drift_share=1 / len(names))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns about constant columns
        page = report.run(*sides).get_html_str(as_iframe=False)
    write_text(path, _packed(page).replace("<body>", f"<body>\n{_head(verdict, len(names), reference.height)}", 1))


def _for_pandas(side: "pl.DataFrame", names: list[str], numbers: list[str]) -> Any:
    import polars as pl

    others = [name for name in names if name not in numbers]
    return side.select(
        *(pl.col(n).cast(pl.Float64) for n in numbers), *(pl.col(n).cast(pl.String) for n in others)
    ).to_pandas()


def _packed(page: str) -> str:
    """Returns the page with its scripts (Evidently's library of 3.5 MB and the figures' data) compressed."""
    data, *others = _SCRIPT.findall(page)
    data = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.5g}", data)
    packed = base64.b64encode(gzip.compress("\n;\n".join([data, *others]).encode(), 9, mtime=0)).decode()
    return _SCRIPT.sub("", page).replace("</body>", f"{_LOADER.format(packed=packed)}\n</body>", 1)


def _head(verdict: Mapping[str, Any], n_columns: int, n_rows: int) -> str:
    alarms = [f"<li>{html.escape(alarm)}</li>" for alarm in verdict["alarms"]]
    shown, more = "".join(alarms[:SHOWN_ALARMS]), "".join(alarms[SHOWN_ALARMS:])
    folded = f"<details><summary>{len(alarms) - SHOWN_ALARMS} more alarms</summary><ul>{more}</ul></details>"
    window = verdict["window"]
    return _HEAD.format(
        title=html.escape(
            f"{verdict['project']} version {verdict['model_version']},"
            f" {window['since'][:16]} to {window['until'][:16]} (UTC)"
        ),
        outcome=f"{len(alarms)} alarms in {verdict['n_rows']:,} rows"
        if alarms
        else f"No alarm in {verdict['n_rows']:,} rows",
        alarms=(f"<ul>{shown}</ul>" if shown else "") + (folded if more else ""),
        n_columns=n_columns,
        n_rows=f"{n_rows:,}",
    )

"""Start-up: what a process loads, and what it leaves out.

All that changes how a library is imported stands in this folder, one file for each library. Seconds are processor time
of the import in a fresh process with a warm disk cache, without and with the change (docs/decisions/0009).

| file                  | library                 | seconds without, with | what is loaded on use or left out         |
|-----------------------|-------------------------|-----------------------|-------------------------------------------|
| great_expectations.py | great-expectations 1.24 | 6.7, 3.1              | altair, scipy.stats                       |
| feast.py              | feast 0.67              | 7.6, 1.8              | torch; typeguard does not recompile Feast |
| xgboost.py            | xgboost 3.2             | 2.0, 0.5              | scikit-learn (in servers)                 |
| torch_compiler.py     | torch 2.13              | 1.5, 0.05             | torch._dynamo at the first step            |

To take one out, import the library instead of calling the function of its file, and delete the file. telemetry.py
gains no time: it switches reporting off, by the libraries' own variables.
"""

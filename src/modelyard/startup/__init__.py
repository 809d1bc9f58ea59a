"""Start-up: what a process loads, and what it leaves out.

All that changes how a library is imported stands in this folder, one file for each library. Seconds are processor time
of the import in a fresh process with a warm disk cache, without and with the change (docs/decisions/0009).

| file | library and version | what it does | without | with | to take it out |
|---|---|---|---|---|---|
| great_expectations.py | great-expectations 1.24 | Altair and scipy.stats are loaded on use | 6.7 s | 3.1 s | import the library |
| feast.py | feast 0.67 | torch is loaded on use, classes are not recompiled by typeguard | 7.6 s | 1.8 s | import the library |
| xgboost.py | xgboost 3.2 | scikit-learn stays unloaded; servers only | 2.0 s | 0.5 s | drop the call in serving/app.py |
| torch_compiler.py | torch 2.13 | an optimizer's first step does not load the compiler | 1.5 s | 0.05 s | drop the `with` in training |
| telemetry.py | all | switches reporting off by the libraries' own variables | | | |
"""

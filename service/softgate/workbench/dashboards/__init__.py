"""
The dashboards and the manifests made of them and of the rules: dicts and texts by pure functions.

`python -m softgate.workbench.dashboards` writes them into deploy/. Needs no Grafana and no network.
"""

"""Rules and dashboards as Kubernetes resources. Text, not objects: YAML is written here and never read."""

from collections.abc import Mapping
from textwrap import indent

GENERATED = "# Written by `make dashboards`; change what it is made of.\n"

RULE = """\
# prometheus/rules.yml for the Prometheus operator. Where its ruleSelector wants a label, add it. SoftgateDown and
# SoftgateServerDown look for the job softgate, as pod-monitor.yaml names it.
# yamllint disable rule:line-length
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: softgate
  labels:
    app.kubernetes.io/name: softgate
spec:
"""

CONFIG_MAP = """\
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: softgate
    grafana_dashboard: "1"
data:
  {name}.json: |
"""

FOR_THE_SIDECAR = """\
# The dashboards for Grafana's sidecar, which loads what has the label grafana_dashboard: "1".
# yamllint disable rule:line-length rule:document-start
"""


def prometheus_rule(rules: str) -> str:
    """The groups of rules.yml, which start at the line `groups:`."""
    _, groups, rest = rules.partition("groups:\n")
    assert groups, "Expected a line `groups:` in rules.yml."
    return GENERATED + RULE + indent(groups + rest, "  ")


def config_maps(dashboards: Mapping[str, str]) -> str:
    """One for each dashboard, given as its name → its JSON: together they may outgrow what one object may hold."""
    maps = [CONFIG_MAP.format(name=name) + indent(text, "    ") for name, text in dashboards.items()]
    return GENERATED + FOR_THE_SIDECAR + "".join(maps)

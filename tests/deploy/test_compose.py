"""deploy/compose.yaml: valid, closed to the network, and true to the files that it mounts."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from softgate.settings import Settings
from tools import tool

SERVICES = ("softgate", "prometheus", "grafana")
Compose = dict[str, Any]


@pytest.fixture(scope="session")
def compose(deploy: Path) -> Compose:
    """The file with ${NAME:-default} replaced by the default."""
    text = (deploy / "compose.yaml").read_text()
    parsed: Compose = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return parsed


def sources(service: Compose) -> list[str]:
    """What a service mounts: paths, and names of volumes."""
    return [v["source"] if isinstance(v, dict) else v.split(":")[0] for v in service["volumes"]]


def test_the_file_is_valid_compose(deploy: Path) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(deploy / "compose.yaml")]

    subprocess.run(command, check=True)


def test_a_misspelt_key_is_not_valid_compose(deploy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text((deploy / "compose.yaml").read_text().replace("    mem_limit:", "    memory_limit:"))

    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(broken)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_loopback_alone(compose: Compose, name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["services"][name]["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(compose: Compose, name: str) -> None:
    service = compose["services"][name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "mem_limit"} <= set(service)
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_is_read_only(compose: Compose, deploy: Path, name: str) -> None:
    service = compose["services"][name]

    for volume, source in zip(service["volumes"], sources(service), strict=True):
        if source in compose["volumes"]:
            continue
        assert (deploy / source).is_dir()
        assert volume["read_only"] if isinstance(volume, dict) else volume.endswith(":ro")


def test_softgate_keeps_alarms_in_a_volume_that_its_user_may_write_to(compose: Compose, root: Path) -> None:
    softgate = compose["services"]["softgate"]
    folder = softgate["environment"]["SOFTGATE_STATE_DIR"]
    dockerfile = (root / "Dockerfile").read_text()
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", dockerfile, flags=re.MULTILINE)[-1]

    assert f"state:{folder}" in softgate["volumes"]
    assert "state" in compose["volumes"]
    assert "state_dir" in Settings.model_fields
    # A named volume that is empty takes over the owner of the folder that it hides.
    assert f"\nRUN install -d -o {user} -g {group} {folder}\n" in dockerfile


def test_softgate_does_without_tokens_only_because_its_port_is_on_loopback(compose: Compose) -> None:
    softgate = compose["services"]["softgate"]

    assert softgate["environment"]["SOFTGATE_ALLOW_PUBLIC"] == "true"
    assert "allow_public" in Settings.model_fields
    assert all(port.startswith("127.0.0.1:") for port in softgate["ports"])


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_an_image_is_pinned_to_a_release(compose: Compose, name: str) -> None:
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", compose["services"][name]["image"])


def test_softgate_is_built_from_the_repository_and_never_pulled(compose: Compose, deploy: Path, root: Path) -> None:
    softgate = compose["services"]["softgate"]

    assert (deploy / softgate["build"]).resolve() == root
    assert "image" not in softgate


def test_requests_under_way_are_answered_before_the_end(compose: Compose) -> None:
    grace = Settings.model_fields["grace_seconds"].default

    assert int(compose["services"]["softgate"]["stop_grace_period"].removesuffix("s")) > grace


def test_prometheus_scrapes_the_port_that_softgate_listens_on(compose: Compose, deploy: Path) -> None:
    config = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text())
    targets = [target for job in config["scrape_configs"] for target in job["static_configs"][0]["targets"]]

    assert targets == [f"softgate:{Settings.model_fields['port'].default}"]
    assert compose["services"]["softgate"]["ports"] == [f"127.0.0.1:8080:{targets[0].split(':')[1]}"]
    assert "/etc/prometheus" in compose["services"]["prometheus"]["volumes"][0]


def test_grafana_finds_what_is_provisioned(compose: Compose, deploy: Path) -> None:
    grafana = compose["services"]["grafana"]
    mounts = {target: deploy / source for source, target, _ in (v.split(":") for v in grafana["volumes"])}
    provider = yaml.safe_load((deploy / "grafana/provisioning/dashboards/softgate.yml").read_text())["providers"][0]
    datasource = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yml").read_text())
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert list(mounts[provider["options"]["path"]].glob("softgate-*.json"))
    assert (mounts[str(home.parent)] / home.name).is_file()
    assert {f"/etc/grafana/provisioning/{kind}" for kind in ("datasources", "dashboards")} <= set(mounts)
    assert datasource["datasources"][0]["uid"] == "softgate-prometheus"
    assert datasource["datasources"][0]["url"] == "http://prometheus:9090"


def test_grafana_shows_without_a_login_and_has_no_admin(compose: Compose) -> None:
    environment = compose["services"]["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"

"""
The Dockerfile, as far as it can be run without a container engine.

The steps of its build stage run in a temporary folder, with /build and /venv moved there; then its command and its
health check run from what they made, in the environment that the final stage sets.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from softgate import __version__
from softgate.settings import Settings
from tools import tool

ROOT = Path(__file__).parents[2]


class Step(NamedTuple):
    keyword: str
    argument: str


def stages(text: str) -> list[list[Step]]:
    """The steps after each FROM, continuation lines joined and comments left out."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]
    found: list[list[Step]] = []
    for line in lines:
        keyword, argument = line.split(maxsplit=1)
        if keyword == "FROM":
            found.append([])
        elif found:
            found[-1].append(Step(keyword, argument))
    return found


BUILD, FINAL = stages((ROOT / "Dockerfile").read_text())


def last(keyword: str) -> str:
    """The argument of the final stage's last step of this kind."""
    return [step.argument for step in FINAL if step.keyword == keyword][-1]


def variables(steps: list[Step]) -> dict[str, str]:
    """What ENV sets, but for PATH: that is the container's."""
    pairs = [pair.split("=", 1) for step in steps if step.keyword == "ENV" for pair in shlex.split(step.argument)]
    return {name: value for name, value in pairs if name != "PATH"}


def test_hadolint_has_nothing_to_say() -> None:
    subprocess.run([tool("hadolint"), str(ROOT / "Dockerfile")], check=True)


def test_hadolint_finds_a_base_without_a_tag(tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM python\n")

    assert subprocess.run([tool("hadolint"), str(broken)], check=False, capture_output=True).returncode == 1


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [step.argument.split() for step in [*BUILD, *FINAL] if step.keyword == "COPY"]
    wanted = {source.removeprefix("./") for *sources, _ in copies for source in sources if sources[0][:2] != "--"}

    assert wanted == allowed
    assert all((ROOT / name).exists() for name in wanted)


def test_the_user_is_a_number_and_not_root() -> None:
    user, group = last("USER").split(":")

    assert int(user) > 0
    assert int(group) > 0


def test_the_folder_for_state_is_made_empty_and_the_user_s(tmp_path: Path) -> None:
    keywords = [step.keyword for step in FINAL]
    program, *arguments, folder = shlex.split(last("RUN"))
    user, group = last("USER").split(":")
    owner = [str(os.geteuid()) if part == user else part for part in arguments]
    owner[owner.index("-g") + 1] = str(os.getegid())

    # Here the tests' user stands for the image's: only root may give a folder away.
    subprocess.run([program, *owner, f"{tmp_path}{folder}"], check=True)

    assert arguments == ["-d", "-o", user, "-g", group]
    assert keywords.index("RUN") < keywords.index("USER")
    assert list((tmp_path / folder.removeprefix("/")).iterdir()) == []
    assert "SOFTGATE_STATE_DIR" not in variables(FINAL)


def test_the_port_is_the_one_served_by_default() -> None:
    assert int(last("EXPOSE")) == Settings.model_fields["port"].default


def test_address_and_log_format_are_set_explicitly() -> None:
    chosen = variables(FINAL)

    assert (chosen["SOFTGATE_HOST"], chosen["SOFTGATE_LOG_FORMAT"]) == ("0.0.0.0", "json")


def test_a_variable_of_the_final_stage_is_a_setting() -> None:
    names = {name.removeprefix("SOFTGATE_").lower() for name in variables(FINAL) if name.startswith("SOFTGATE_")}

    assert names <= set(Settings.model_fields)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the container's root, after the build stage."""
    folder = tmp_path_factory.mktemp("image")
    build(folder)
    return folder


def build(folder: Path) -> None:
    """Do the steps of the build stage in `folder`."""
    moved = re.compile(r"(?<![\w.-])/(?=(?:venv|build)\b)")
    # The interpreter of the tests stands for that of the base image.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **variables(BUILD), "PATH": path}
    place = folder
    for keyword, argument in BUILD:
        moved_argument = moved.sub(f"{folder}/", argument)
        if keyword == "WORKDIR":
            place = Path(moved_argument)
            place.mkdir()
        elif keyword == "COPY":
            copy(argument.split(), place)
        elif argument.startswith("apt-get"):
            # This machine's compiler stands for the base image's.
            tool("gcc")
        elif keyword == "RUN":
            done = subprocess.run(
                ["/bin/sh", "-c", moved_argument],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


def copy(arguments: list[str], place: Path) -> None:
    *sources, target = arguments
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place / target)


def run(image: Path, *command: str, **extra: str) -> "subprocess.Popen[str]":
    """Start a command in the final stage's environment and no other: a user without a name has / for a home."""
    return subprocess.Popen(
        [str(image / "venv/bin" / command[0]), *command[1:]],
        cwd="/",
        env={"PATH": f"{image}/venv/bin", "HOME": "/", **variables(FINAL), **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(process: "subprocess.Popen[str]") -> tuple[int, str]:
    with process:
        text, _ = process.communicate(timeout=60)
    return process.returncode, text


def installed(image: Path) -> set[str]:
    folders = (image / "venv/lib").glob("python3*/site-packages/*.dist-info")
    return {folder.name.split("-")[0].lower() for folder in folders}


def test_the_command_is_installed(image: Path) -> None:
    assert output(run(image, "softgate", "--version")) == (0, f"softgate {__version__} (compiled)\n")


def test_what_only_builds_is_left_behind(image: Path) -> None:
    names = installed(image)

    assert {"softgate", "onnx", "onnxruntime", "pillow", "tokenizers"} <= names
    assert names.isdisjoint(
        {"pip", "setuptools", "hatchling", "editables", "pluggy", "pathspec", "mypy", "librt", "pytest"}
    )


def test_the_package_comes_from_the_wheel(image: Path) -> None:
    command = ("python", "-c", "import softgate; print(softgate.__file__)")

    assert output(run(image, *command))[1].startswith(f"{image}/venv/lib")


def test_the_health_check_follows_the_server(image: Path, toys: Path) -> None:
    """From its start to its end by STOPSIGNAL, with the command, the variables and the check of the Dockerfile."""
    models = image / "models"
    shutil.copytree(toys, models)
    entrypoint, command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
    arguments = [str(models) if argument == "/models" else argument for argument in command]
    port = {"SOFTGATE_PORT": str(free_port())}
    check = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])

    # On loopback, as a test must; the check has the image's address, every one, and has to find the server still.
    with run(image, *entrypoint, *arguments, **port, SOFTGATE_HOST="127.0.0.1") as server:
        log = wait_until_ready(server)
        assert output(run(image, *check, **port))[0] == 0

        server.send_signal(signal.Signals[last("STOPSIGNAL")])
        assert server.wait(timeout=30) == 0, log
    assert output(run(image, *check, **port))[0] == 1


def test_the_image_serves_nobody_until_it_has_tokens_or_is_told_so(image: Path, toys: Path) -> None:
    code, said = output(run(image, "softgate", "serve", str(toys), SOFTGATE_PORT="0"))

    assert code == 1
    assert "Expected SOFTGATE_TOKENS_FILE for 0.0.0.0" in said
    assert "SOFTGATE_ALLOW_PUBLIC" not in variables(FINAL)
    # What the first lines of the Dockerfile tell a user to type.
    assert "--publish 127.0.0.1:8080:8080 --env SOFTGATE_ALLOW_PUBLIC=true" in (ROOT / "Dockerfile").read_text()


def wait_until_ready(server: "subprocess.Popen[str]") -> list[Mapping[str, str]]:
    """The log up to `ready`, each line JSON as SOFTGATE_LOG_FORMAT wants it."""
    log: list[Mapping[str, str]] = []
    assert server.stdout is not None
    for line in server.stdout:
        log.append(json.loads(line))
        if log[-1]["message"] == "ready":
            return log
    pytest.fail(f"The server ended before it was ready: {log}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

"""The only reader of the environment. A command-line option overrides its variable."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from softgate.errors import StartupFailed

PREFIX = "SOFTGATE_"
# Where the protocol of LISTEN_FDS begins to count.
FIRST_HANDED_OVER = 3


class Settings(BaseSettings):
    """Each field is the environment variable SOFTGATE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on; 0: any free one")] = 8080
    workers: Annotated[int, Field(ge=1, le=256, description="processes that share the listening socket")] = 1
    threads: Annotated[
        int, Field(ge=0, le=256, description="most threads per graph; 0: the CPUs of the quota / workers")
    ] = 0
    max_body_bytes: Annotated[int, Field(ge=1024, description="largest request body")] = 4 * 1024 * 1024
    max_rows: Annotated[int, Field(ge=1, description="most rows in one request")] = 1024
    request_timeout_ms: Annotated[
        int, Field(ge=1, le=3_600_000, description="time for a request to get to the graph, unless it names its own")
    ] = 30_000
    overload_status: Annotated[
        Literal["429", "503"], Field(description="status of requests that are refused for too many others")
    ] = "429"
    max_header_bytes: Annotated[int, Field(ge=1024, description="largest request line and headers together")] = 16384
    max_headers: Annotated[int, Field(ge=16, description="most headers of one request")] = 100
    header_seconds: Annotated[
        float, Field(gt=0, description="time from a connection to the end of its request's headers")
    ] = 10.0
    body_seconds: Annotated[
        float, Field(gt=0, description="time for the body, for a piece of a stream, and for a client to read")
    ] = 30.0
    probe_memory_mb: Annotated[
        int, Field(ge=64, description="memory that a graph may take when it is first tried, in MiB")
    ] = 4096
    probe_seconds: Annotated[float, Field(ge=1, description="time that this may take")] = 60.0
    models_digest: Annotated[
        str | None,
        Field(
            pattern="^sha256:[0-9a-f]{64}$", description="what softgate digest must say of the models; none: anything"
        ),
    ] = None
    grace_seconds: Annotated[int, Field(ge=1, le=3600, description="time for requests under way at shutdown")] = 10
    tokens_file: Annotated[
        Path | None, Field(description="tokens that clients have to show; none: nobody is asked for one")
    ] = None
    allow_public: Annotated[
        bool, Field(description="whether to listen without tokens on an address that others reach")
    ] = False
    hang_seconds: Annotated[
        float, Field(ge=1, le=3600, description="a worker whose event loop stands still so long is killed and replaced")
    ] = 10.0
    ops_port: Annotated[
        int, Field(ge=0, le=65535, description="port for /livez, /readyz and /metrics alone; 0: none")
    ] = 0
    ops_host: Annotated[str, Field(description="address of that port")] = "127.0.0.1"
    grpc_port: Annotated[
        int, Field(ge=0, le=65535, description="port for the Open Inference Protocol over gRPC; 0: none")
    ] = 0
    admin: Annotated[bool, Field(description="whether models may be reloaded over HTTP: /admin")] = False
    watch_seconds: Annotated[
        float, Field(ge=0, description="how often the model folder is looked at, to reload what changed; 0: never")
    ] = 0.0
    default_model: Annotated[
        str | None,
        Field(description="model that answers where a path names none; none: the only one that takes texts"),
    ] = None
    state_dir: Annotated[
        Path | None, Field(description="folder where the drift detectors' state survives a restart; none: nowhere")
    ] = None
    access_log: Annotated[
        Literal["none", "errors", "all"], Field(description="which requests are logged; errors: status 400 and above")
    ] = "errors"
    log_format: Annotated[
        Literal["auto", "json", "text"], Field(description="form of the log lines; auto: text on a terminal, else json")
    ] = "auto"
    token: Annotated[SecretStr | None, Field(description="what softgate drift shows to a server that wants tokens")] = (
        None
    )

    @property
    def supervised(self) -> bool:
        """Whether a process of its own starts the workers, and can therefore put new ones in their place."""
        return self.workers > 1 or self.admin or self.watch_seconds > 0


def read_settings(**given: object) -> Settings:
    """Settings from the environment; what is given and not None comes first. Raises StartupFailed."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as exc:
        mistakes = "; ".join(
            f"SOFTGATE_{str(e['loc'][0]).upper()}: got {e['input']!r}: {e['msg']}" for e in exc.errors()
        )
        raise StartupFailed(f"Settings: {mistakes}.") from exc


@dataclass(frozen=True, slots=True)
class Stated:
    """A setting, and where its value comes from."""

    variable: str
    value: str
    origin: Literal["default", "environment", "option"]


def stated(settings: Settings, **given: object) -> Sequence[Stated]:
    """Every setting; `given` as `read_settings` had it. A secret is not shown."""
    environment = _environment()

    def origin(name: str) -> Literal["default", "environment", "option"]:
        if given.get(name) is not None:
            return "option"
        return "environment" if f"{PREFIX}{name}".lower() in environment else "default"

    return [
        Stated(f"{PREFIX}{name.upper()}", str(getattr(settings, name)), origin(name)) for name in Settings.model_fields
    ]


def unknown_variables() -> Sequence[str]:
    """Variables that look like settings and are none: misspelt ones, mostly."""
    known = {f"{PREFIX}{name}".lower() for name in Settings.model_fields}
    return sorted(name.upper() for name in _environment() if name.startswith(PREFIX.lower()) and name not in known)


def _environment() -> Collection[str]:
    """Names of its variables, in lower case."""
    return EnvSettingsSource(Settings).env_vars.keys()


def handed_over() -> int | None:
    """The descriptor of the socket that systemd, or who speaks as it does, hands over. Raises StartupFailed."""
    said = [os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    # Inherited by mistake: they were meant for a process before us.
    if said[0] != str(os.getpid()):
        return None
    if said[1] != "1":
        raise StartupFailed(f"LISTEN_FDS: got {said[1]!r}, wanted 1: one listening socket.")
    return FIRST_HANDED_OVER

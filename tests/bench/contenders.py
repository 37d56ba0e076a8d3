"""Who is compared, each as its users run it: softgate, a bare answer, FastAPI by hand, MLServer and LitServe."""

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.running import Server, free_port, running
from bench.turns import Contender
from bench.workloads import ROOT, Workload, shared
from softgate.workbench.bench import targets
from softgate.workbench.bench.asking import ask, samples, total

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / ".venv-peers"
SOFTGATE: Sequence[str] = (sys.executable, "-m", "softgate")


def served_version() -> str:
    """As the servers here tell it: compiled or not is a matter of where they look."""
    with tempfile.TemporaryDirectory() as elsewhere:
        found = subprocess.run([*SOFTGATE, "--version"], cwd=elsewhere, stdout=subprocess.PIPE, text=True, check=True)
    return found.stdout.removeprefix("softgate ").strip()


def program(folder: Path, line: Sequence[str] = SOFTGATE) -> list[str]:
    """This command with the softgate of a checkout, or of what `make compiled` left, whichever is installed."""
    return ["env", f"PYTHONPATH={folder if (folder / 'softgate').is_dir() else folder / 'service'}", *line]


@contextmanager
def softgate(
    workload: Workload, *, workers: int = 1, program: Sequence[str] = SOFTGATE, folder: Path | None = None, **view: int
) -> Iterator[Server]:
    """`program` may be a variant of it, `folder` one that holds other models, too; `view` is asked of every answer."""
    port = free_port()
    line = [*program, "serve", str(folder or workload.folder), "--port", str(port), "--workers", str(workers)]
    path = f"/v1/models/{workload.name}/predict"
    with running(line, port=port, path=path, bodies=workload.native(**view)) as server:
        while total(samples(server.contender.target.url), "softgate_workers_ready") < workers:
            pass
        yield server


@contextmanager
def bare(like: Contender, *, workers: int = 1) -> Iterator[Contender]:
    """uvicorn, which answers as many bytes as that server does and looks at nothing."""
    sizes = [len(ask(like.target.url, like.target.path, body)[1]) for body in like.bodies]
    with targets.bare(round(sum(sizes) / len(sizes)), workers=workers) as target:
        yield Contender(target, like.bodies)


def naive(workload: Workload, *, workers: int = 1) -> AbstractContextManager[Server]:
    """FastAPI by hand, as it is; its log of every request is off. Raises Absent."""
    app, port = shared("examples", "naive_app.py"), free_port()
    line = [sys.executable, "-m", "uvicorn", f"{app.stem}:app", "--app-dir", str(app.parent), "--port", str(port)]
    line += ["--workers", str(workers), "--no-access-log"]
    variables = {"MODEL": str(workload.model), "LABELS": str(workload.labels)}
    if workload.tokenizer is not None:
        variables["TOKENIZER"] = str(workload.tokenizer)
    return running(line, port=port, path="/predict", bodies=workload.native(), variables=variables)


@contextmanager
def mlserver(
    workload: Workload, folder: Path, *, workers: int = 0, batch: int = 0, seconds: float = 0
) -> Iterator[Server]:
    """`workers` processes beside the server's own, 0 for none; adaptive batches of `batch` rows within `seconds`."""
    home = folder / f"mlserver-{workers}-{batch}"
    home.mkdir(parents=True)
    port = free_port()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": workers, **ports}
    files = {"labels": str(workload.labels), "tokenizer": str(workload.tokenizer or "")}
    model = {
        "name": "model",
        "implementation": "mlserver_runtime.Classifier",
        "parameters": {"uri": str(workload.model), "extra": files},
        "max_batch_size": batch,
        "max_batch_time": seconds,
    }
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))
    line = [str(python("mlserver").parent / "mlserver"), "start", str(home)]
    path, bodies = "/v2/models/model/infer", workload.open_inference()
    with running(line, port=port, path=path, bodies=bodies, variables={"PYTHONPATH": str(PEERS)}) as server:
        yield server


def litserve(
    workload: Workload, *, workers: int = 1, batch: int = 1, seconds: float = 0, fast_queue: bool = False
) -> AbstractContextManager[Server]:
    port = free_port()
    line = [str(python("litserve")), str(PEERS / "litserve_app.py"), "--port", str(port), "--workers", str(workers)]
    line += ["--model", str(workload.model), "--labels", str(workload.labels), "--max-batch-size", str(batch)]
    line += ["--batch-timeout", str(seconds), *(["--fast-queue"] if fast_queue else [])]
    line += [] if workload.tokenizer is None else ["--tokenizer", str(workload.tokenizer)]
    return running(line, port=port, path="/predict", bodies=workload.native(), pauses=batch > 1)


def python(peer: str) -> Path:
    """The peer's own interpreter: its environment is made the first time, from its hashed requirements."""
    home, requirements = ENVIRONMENTS / peer, PEERS / f"{peer}.txt"
    made = home / "made"
    if not made.exists() or made.stat().st_mtime < requirements.stat().st_mtime:
        print(f"Setting up {peer} in {home.relative_to(ROOT)}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        line = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*line, "--require-hashes", "--requirement", str(requirements)], check=True)
        made.touch()
    return home / "bin" / "python"


@contextmanager
def raw_loops(workload: Workload, folder: Path, *, processes: int) -> Iterator[Callable[[float], float]]:
    """For how many seconds → runs per second of all of them, each process running the graph on a thread of its own."""
    rows = folder / f"{workload.name}-rows.json"
    rows.write_text(json.dumps(workload.ids()))
    line = [sys.executable, str(PEERS / "raw_loop.py"), str(workload.model), str(rows)]
    loops = [subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    try:
        for loop in loops:
            _read(loop)
        yield lambda seconds: _rate(loops, seconds)
    finally:
        for loop in loops:
            loop.kill()
            loop.communicate()


def _rate(loops: Sequence["subprocess.Popen[str]"], seconds: float) -> float:
    for loop in loops:
        assert loop.stdin is not None, "It is a pipe."
        loop.stdin.write(f"{seconds}\n")
        loop.stdin.flush()
    told = [json.loads(_read(loop)) for loop in loops]
    return float(sum(runs / taken for runs, taken in told))


def _read(loop: "subprocess.Popen[str]") -> str:
    assert loop.stdout is not None, "It is a pipe."
    line = loop.stdout.readline()
    assert line, "The loop ended before it was told to."
    return line

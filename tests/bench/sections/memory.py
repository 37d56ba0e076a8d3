"""W1: a worker's memory, how soon it answers, and what a large scrape costs beside eight workers."""

from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from bench import workloads
from bench.bench_monitoring import N_WORKERS, calibrated
from bench.contenders import softgate
from bench.sections.section import Plan, Section, of
from bench.turns import Contender, Turn, interleaved
from bench.verdicts import AT_MOST
from bench.workloads import Workload
from softgate.workbench.bench.asking import ask
from softgate.workbench.bench.processes import cpu_seconds, memory

TITLE = "Memory, start and scrapes"
MIB = 2**20
N_MODELS, N_LABELS = 6, 560
SCRAPES, SCRAPE_EVERY_SECONDS = 30, 0.1
TRICKLE = 300.0


def measure(plan: Plan, folder: Path) -> Section:
    section = Section()
    _started(section, plan, workloads.tiny(folder))
    _scraped(section, plan, folder / "many")
    return section


def _started(section: Section, plan: Plan, workload: Workload) -> None:
    seconds, resident = [], []
    for _ in range(plan.turns):
        with softgate(workload) as server:
            server.contender.under(64, 1)
            seconds.append(server.first_answer_seconds)
            resident += [memory(worker).resident_bytes / MIB for worker in server.contender.target.workers]
    section.claim("resident memory of a worker after load", resident, AT_MOST, 140, "MiB")
    section.claim("first good answer after the start", seconds, AT_MOST, 1.2, "s")


def _scraped(section: Section, plan: Plan, folder: Path) -> None:
    """A fleet of models whose counts come to 11 000 series."""
    for place in range(N_MODELS):
        calibrated(folder / f"m{place}", f"m{place}", n_labels=N_LABELS)
    asked = Workload(folder / "m0", [[0.0] * 4])
    with ExitStack() as stack:
        server = stack.enter_context(softgate(asked, workers=N_WORKERS, folder=folder)).contender
        _, page = ask(server.target.url, "/metrics")
        n_series = sum(line[:1] != b"#" for line in page.splitlines())
        scrapes = f"a scrape of {n_series:,} series, {N_WORKERS} workers"
        section.claim(f"CPU of {scrapes}", [_cpu_ms(server) for _ in range(plan.turns)], AT_MOST, 10, "ms")
        takers = {
            "left alone": lambda turn: server.arriving(TRICKLE, plan.seconds, seed=turn),
            "scraped": lambda turn: _while_scraped(server, plan.seconds, turn),
        }
        taken = interleaved(takers, plan.turns)
    section.figures[f"{TRICKLE:g} requests/s"] = taken
    longer = [
        (scraped - alone) / 1000
        for scraped, alone in zip(of(taken["scraped"], "p999_us"), of(taken["left alone"], "p999_us"), strict=True)
    ]
    section.claim(f"longest wait, beyond that without {scrapes}", longer, AT_MOST, 5, "ms")


def _cpu_ms(server: Contender) -> float:
    """Of all processes, per scrape."""
    before = cpu_seconds(server.target.processes)
    for _ in range(SCRAPES):
        ask(server.target.url, "/metrics")
    return (cpu_seconds(server.target.processes) - before) / SCRAPES * 1000


def _while_scraped(server: Contender, seconds: float, seed: int) -> Turn:
    done = Event()

    def scrape() -> None:
        while not done.wait(SCRAPE_EVERY_SECONDS):
            ask(server.target.url, "/metrics")

    scraper = Thread(target=scrape)
    scraper.start()
    try:
        return server.arriving(TRICKLE, seconds, seed=seed)
    finally:
        done.set()
        scraper.join()

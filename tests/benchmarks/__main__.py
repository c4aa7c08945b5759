"""`python -m tests.benchmarks [--smoke]`: measures Luneo against its budgets, beside floor B, in one run.

Prints a table, writes `bench.json`, and exits with 1 when a budget is not kept. `--smoke` does a little of everything, to see that it
runs; of its figures only those count that no noise touches.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import measurements, retrieval
from tests.benchmarks.figures import HEADING, Figure, row, write
from tests.benchmarks.installation import Installation


def main() -> int:
    """Run every measurement; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="a little of everything, in less than a minute")
    parser.add_argument("--only", help="only measurements whose name holds this text")
    parser.add_argument("--litellm", help="the command that starts LiteLLM's proxy, to be measured beside Luneo in the same run")
    options = parser.parse_args()
    effort = measurements.SMOKE if options.smoke else measurements.FULL
    figures: list[Figure] = []
    print(HEADING, flush=True)

    def run(name: str, measure: Callable[[], list[Figure]]) -> None:
        if options.only and options.only not in name:
            return
        for figure in measure():
            figures.append(figure)
            print(row(figure), flush=True)

    with tempfile.TemporaryDirectory(prefix="luneo-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user when started by root
        with Installation.running(Path(folder), measurements.PIECES) as installation:
            run("turns", lambda: measurements.turn_figures(installation, effort, options.litellm))
            run("memory", lambda: measurements.memory_figures(installation, effort))
            run("replicas", lambda: measurements.replica_figures(installation, effort))
            run("documents", lambda: measurements.document_figures(installation, effort))
            run("ingest", lambda: measurements.ingest_figures(installation, effort))
            run("quota", lambda: measurements.quota_figures(installation, effort))
            run("retrieval", lambda: retrieval.retrieval_figures(installation, effort))
            run("page", lambda: measurements.page_figures(installation, effort))
            run("wire", lambda: measurements.round_trip_figures(installation, effort))
    run("start", lambda: measurements.start_figures(effort))
    write(figures, Path("bench.json"))
    over = [figure for figure in figures if not figure.ok and (figure.noise_free or not options.smoke)]
    if over:
        print(f"\nOver budget: {', '.join(figure.name for figure in over)}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

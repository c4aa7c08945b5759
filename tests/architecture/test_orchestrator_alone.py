"""Law 6: only the orchestrator's use cases hold the port of the generative model; only `adapters/llm` knows a provider."""

import ast
from pathlib import Path

from domains.conversational_ai.ports.generative_model import GenerativeModel
from domains.conversational_ai.use_cases.orchestrator import Orchestrator
from entrypoints.composition import container
from tests.fixtures.app import Site

ROOT = Path(__file__).resolve().parents[2]
PORT = "domains.conversational_ai.ports.generative_model"
HOLDS_THE_PORT = {"domains/conversational_ai/use_cases/orchestrator.py"}
KNOWS_THE_PORT = ("adapters/llm/", "domains/conversational_ai/ports/generative_model.py", "entrypoints/composition/")
PROVIDERS = ("openai", "anthropic", "mistralai", "cohere", "google.generativeai", "litellm")


def sources() -> list[Path]:
    return [
        p
        for package in ("shared_kernel", "contracts", "domains", "adapters", "entrypoints")
        for p in sorted((ROOT / package).rglob("*.py"))
    ]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_nobody_else_imports_the_port() -> None:
    importers = {str(p.relative_to(ROOT)) for p in sources() if PORT in imports(p)}
    assert {p for p in importers if not p.startswith(KNOWS_THE_PORT)} == HOLDS_THE_PORT


def test_only_the_llm_adapters_know_a_provider() -> None:
    knowing = {
        str(p.relative_to(ROOT))
        for p in sources()
        if any(name.split(".")[0] == vendor.split(".")[0] for name in imports(p) for vendor in PROVIDERS)
    }
    assert all(p.startswith("adapters/llm/") for p in knowing), knowing


async def test_in_the_running_app_only_the_orchestrator_is_given_the_model(site: Site) -> None:
    """Ask the container of the running app: every factory that takes the model as a dependency."""
    orchestrator = await site.container.get(Orchestrator)
    assert orchestrator.model is site.model
    takers = set()
    for provider in (make() for make in container.PROVIDERS):
        for factory in provider.factories:
            needs = [*factory.dependencies, *factory.kw_dependencies.values()]
            if any(key.type_hint is GenerativeModel for key in needs):
                takers.add(factory.provides.type_hint)
    assert takers == {Orchestrator}

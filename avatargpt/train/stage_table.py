"""The stages of `scripts/train.py` as a table: where each lives, what it makes, its recipe and its options."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """One option of a stage.

    Attributes:
        help: what it takes. needed: whether the stage cannot do without. kind: ``text`` or ``whole`` (at least 1).
        default: where nothing is said. choices: accepted values, empty = any.
    """

    help: str
    needed: bool = False
    kind: str = "text"
    default: str | int | None = None
    choices: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageEntry:
    """One stage.

    Attributes:
        place: ``module:function``, imported when the stage runs; the function takes the stage's recipe, if it has one,
            and the parsed options.
        help: one line. recipe: ``module:Class`` of its configuration, empty = it has none.
        config_needed: whether it needs a configuration file. steps: whether it trains step by step (``--until``).
        options: beside those that every stage has.
    """

    place: str
    help: str
    recipe: str = ""
    config_needed: bool = False
    steps: bool = False
    options: dict[str, Option] = field(default_factory=dict)


_T = "avatargpt.train."
_CODES = Option("tokenised cache", needed=True)
_TOKENIZER = Option("tokenizer folder", needed=True)
_STORE = Option("motion store", needed=True)
_TEXTS = Option("folder of caption bank and rewrites")
_FACE_TEXTS = Option("folder of facial instructions", needed=True)
_GROUNDING = Option("folder of the ground stage; texts in it are not computed again")
_HUMANML3D = Option("HumanML3D folder (new_joint_vecs, texts, Mean.npy, Std.npy, train.txt, val.txt)", needed=True)
_ROUNDS = Option("folders of the self-training stage, with commas between, the latest last")
_CORPORA = {
    "texts": Option("folder of caption bank and rewrites", needed=True),
    "planning": Option("folder of planning corpora"),
    "chat": Option("folder of dialogues"),
    "pairs": Option("folder of TASK.jsonl files: slots and answers of any text task"),
}  # fmt: skip

STAGES: dict[str, StageEntry] = {
    "sample-corpus": StageEntry(
        f"{_T}data.sample_corpus:sample_corpus_stage", "a small corpus made on the spot, to try the chain from nothing"
    ),
    "prepare": StageEntry(
        f"{_T}stages:prepare_stage", "corpora and texts -> a motion store with prompt pools and composed clips",
        f"{_T}data.prepare:PreparationRecipe",
        options={
            "corpus": Option("folder of clips", needed=True), "texts": _CORPORA["texts"],
            "cc0-actions": Option("folder of the CC0 action clips; captions are ours"),
            "smartbody": Option("folder of SmartBody's motions, without the gestures; captions are ours"),
            "packs": Option("folders of .glb, .gltf and .bvh with captions, with commas between"),
        },
    ),
    "tokenizer": StageEntry(
        f"{_T}stages:tokenizer_stage", "train (or go on training) a motion tokenizer", f"{_T}tokenizer:TokenizerRecipe",
        config_needed=True, steps=True, options={"store": _STORE, "start": Option("tokenizer folder to begin from")},
    ),
    "codes": StageEntry(
        f"{_T}stages:codes_stage", "motion store -> tokenised cache: all that the language stage reads",
        options={"tokenizer": _TOKENIZER, "store": _STORE},
    ),
    "ground": StageEntry(
        f"{_T}stages:ground_stage", "states of the frozen sentence encoder for every training text, computed once",
        options={"store": _STORE, **_CORPORA, "grounding": _GROUNDING},
    ),
    "language": StageEntry(
        f"{_T}stages:language_stage", "train the language model; without --codes, on text alone",
        f"{_T}language:LanguageRecipe", config_needed=True, steps=True,
        options={
            "tokenizer": Option("tokenizer folders, with commas between"),
            "codes": Option("tokenised caches, with commas between"), **_CORPORA,
            "store": Option("motion store whose captions are read (text stage)"), "grounding": _GROUNDING,
            "self-training": _ROUNDS,
            "start": Option("model, T5 or Flan-T5 folder to begin from; torchrun wants -- before the script"),
            "deepspeed_config": Option("JSON; the run goes through DeepSpeed"),
        },
    ),
    "self-training": StageEntry(
        f"{_T}self_training:self_training_stage",
        "a model's answers to training captions, judged by geometry: what it and the scorer learn from",
        f"{_T}self_training:SelfTrainingRecipe",
        options={"start": Option("folder of weights; default: the packaged ones"), "codes": _CODES},
    ),
    "phrase-index": StageEntry(
        f"{_T}stages:phrase_index_stage", "the index of known phrasings that requests are looked up in",
        options={
            "codes": Option("tokenised cache; without it, --earlier and what that lacks"), "texts": _TEXTS,
            "grounding": _GROUNDING, "self-training": _ROUNDS,
            "earlier": Option("folder of an index whose captions stay for requests without a manner"),
            "grown-from": Option("folder of an index that stays; only keyframed actions that it lacks are added"),
        },
    ),
    "choice": StageEntry(
        f"{_T}reading.choosing:choice_stage", "the network in the index: which known action is meant, if any",
        options={
            "phrase-index": Option("folder of an index, or of a model", needed=True),
            "count": Option("phrasings that are looked up", kind="whole", default=9000),
            "seed": Option("of their choice", kind="whole", default=0),
        },
    ),
    "exemplars": StageEntry(
        f"{_T}stages:exemplars_stage", "the exemplar bank: tokenised clips of our own making that retrieval looks up",
        options={
            "tokenizer": _TOKENIZER,
            "store": Option("motion store whose synthetic clips are taken; default: fresh keyframed ones"),
            "count": Option("clips per action", kind="whole", default=4),
            "seed": Option("of fresh clips", kind="whole", default=900_000),
        },
    ),
    "scorer": StageEntry(
        f"{_T}scorer:scorer_stage", "the scorer of text and motion that ranks candidates", f"{_T}scorer:ScorerRecipe",
        config_needed=True, steps=True,
        options={"codes": _CODES, "tokenizer": _TOKENIZER, "grounding": _GROUNDING, "self-training": _ROUNDS},
    ),
    "planner": StageEntry(
        f"{_T}planner:planner_stage", "the planning library: scenes with vectors, projections and the scorer of plans",
        f"{_T}planner:PlannerRecipe",
        options={
            "planning": Option("folder of planning corpora"),
            "kinds-into": Option("folder of a library that takes the kinds of scenes, and is else left as it is"),
        },
    ),
    "speech": StageEntry(
        f"{_T}audio_model:speech_data_stage", "speech with face curves from rules or a driver, for the driver",
        f"{_T}audio_model:DriverRecipe", config_needed=True,
        options={
            "faces": Option("folder of real speech and faces", needed=True), "texts": Option("texts to be spoken"),
            "driver": Option("driver folder: label real speech with it instead"),
            "spoken": Option("with --driver: folders of further recordings with their texts, with commas between"),
        },
    ),
    "expressions": StageEntry(
        f"{_T}audio_model:expression_data_stage", "expression clips with their words, for the driver's text branches",
        options={
            "texts": _FACE_TEXTS,
            "count": Option("clips drawn, and as many composed", kind="whole", default=2000),
        },
    ),
    "driver": StageEntry(
        f"{_T}audio_model:driver_stage", "train (or go on training) the driver: speech to face",
        f"{_T}audio_model:DriverRecipe", config_needed=True, steps=True,
        options={
            "speech": Option("folders of the speech stage, with commas between", needed=True),
            "expressions": Option("folder of the expressions stage"),
            "start": Option("driver folder to begin from, or several with commas between: their mean"),
            "shares": Option("how much each of several counts, with commas between; default: all alike"),
        },
    ),
    "gesture-corpus": StageEntry(
        f"{_T}gesture.corpus_stage:gesture_corpus_stage",
        "speech with gestures made from a library of strokes: takes for the gesture stage, motions for its tokenizer",
        f"{_T}gesture.recipe:CorpusRecipe", config_needed=True,
        options={
            "gestures": Option("folder of SmartBody's gestures", needed=True),
            "faces": Option("folder of real speech; without it, synthetic voices alone"),
            "texts": Option("texts to be spoken beside sentences of our own"),
            "tokenizer": Option("tokenizer folder; without it, motions alone, to train one on"),
        },
    ),
    "gesture": StageEntry(
        f"{_T}gesture.training:gesture_stage",
        "train (or go on training) the gesture network: speech and words to gesture",
        f"{_T}gesture.training:GestureRecipe", config_needed=True, steps=True,
        options={
            "takes": Option("cache of takes (gesture.json)", needed=True),
            "start": Option("folder of a gesture network to begin from"),
        },
    ),
    "parser": StageEntry(
        f"{_T}parser:parser_stage", "train (or go on training) the instruction parser: facial instructions -> scores",
        f"{_T}parser:ParserRecipe", config_needed=True, steps=True,
        options={
            "texts": Option("folder of facial instructions (train.jsonl), beside the package's own"),
            "start": Option("parser folder to begin from"),
        },
    ),
    "requests": StageEntry(
        f"{_T}reading.requests:requests_stage", "train (or go on training) the reader of requests for body motion",
        f"{_T}reading.requests:RequestRecipe", config_needed=True, steps=True,
        options={"start": Option("folder of a reader to begin from")},
    ),
    "faces": StageEntry(
        f"{_T}data.faces:faces_stage", "instructions, speech and recordings -> a store of face clips",
        options={
            "texts": _FACE_TEXTS, "speech": Option("folder of the speech stage"),
            "takes": Option("folder of Live Link takes"),
            "count": Option("instructions composed, as many timed, as many feelings", kind="whole", default=3000),
        },
    ),
    "fgd": StageEntry(
        f"{_T}gesture.fgd:gesture_features_stage", "train (or go on training) the encoder that FGD compares with",
        f"{_T}gesture.fgd:GestureFeatureRecipe", config_needed=True, steps=True, options={"store": _STORE},
    ),
    "movements": StageEntry(
        f"{_T}humanml3d_evaluator:movements_stage",
        "train (or go on training) the movement encoder of HumanML3D's evaluator",
        f"{_T}humanml3d_evaluator:MovementRecipe", config_needed=True, steps=True, options={"data": _HUMANML3D},
    ),
    "evaluator": StageEntry(
        f"{_T}humanml3d_evaluator:evaluator_stage", "train (or go on training) HumanML3D's evaluator",
        f"{_T}humanml3d_evaluator:EvaluatorRecipe", config_needed=True, steps=True,
        options={
            "data": _HUMANML3D, "movements": Option("folder of the movements stage", needed=True),
            "words": Option("folder of the vocabulary (our_vab_data.npy and its words)", needed=True),
        },
    ),
    "text-motion": StageEntry(
        f"{_T}text_motion:text_motion_stage", "train (or go on training) the evaluator of text and motion, a judge",
        f"{_T}text_motion:EvaluatorRecipe", config_needed=True, steps=True, options={"store": _STORE},
    ),
    "portrait": StageEntry(
        f"{_T}portrait:portrait_stage", "train (or go on training) a portrait: a picture of a face, moved by landmarks",
        f"{_T}portrait:PortraitRecipe", config_needed=True, steps=True,
        options={"clips": Option("folder of videos with landmarks; default: our own head")},
    ),
    "pack": StageEntry(
        f"{_T}pack:pack_stage", "language model, tokenizers and what stands beside them -> one folder, as shipped",
        options={
            "language": Option("folder of the language stage, or several with commas between: their mean", needed=True),
            "shares": Option("how much each of several counts, with commas between; default: all alike"),
            "tokenizer": Option("tokenizer folders, with commas between", needed=True),
            "face": Option("folder of a language stage: a model of its own for the face"),
            "phrase-index": Option("folder of the phrase-index stage"),
            "requests": Option("folder of the requests stage"),
            "exemplars": Option("folder of the exemplars stage"), "planner": Option("folder of the planner stage"),
            "driver": Option("folder of the driver stage, or several with commas between: their mean"),
            "recorded": Option("the same for the mouth of recorded pairs, a network of its own"),
            "parser": Option("folder of the parser stage, or several likewise; + between those asked together"),
            "scorer": Option("folder of the scorer stage"), "gestures": Option("folder of the pack-gestures stage"),
            "evaluator": Option("folder of the text-motion stage: what `eval` judges motions and their texts with"),
            "rank": Option("highest rank of parsers' changes to the encoder; default: as trained", kind="whole"),
            "bits": Option("of the language model's weights; files of 16 are as transformers writes them", kind="whole",
                           default=16, choices=(8, 16)),
        },
    ),
    "gesture-bank": StageEntry(
        f"{_T}gesture.packing:gesture_bank_stage", "gestures that mean something, packed, for the overlay of run time",
        options={"gestures": Option("folder of SmartBody's gestures", needed=True)},
    ),
    "pack-gestures": StageEntry(
        f"{_T}gesture.packing:pack_gestures_stage", "gesture network and its tokenizer -> a model folder, as shipped",
        options={
            "gesture": Option("folder of the gesture stage", needed=True),
            "tokenizer": Option("folder of the gesture tokenizer", needed=True),
            "bank": Option("folder of the gesture-bank stage"),
            "fgd": Option("folder of the fgd stage"),
        },
    ),
    "recipe": StageEntry(
        f"{_T}recipe:recipe_stage", "the whole chain from the corpora to the shipped weights: print it, or run it",
        options={
            "data": Option("folder with the corpora (body, text, planning, chat, face, face_text; docs/data.md)"),
            "only": Option("names of steps, with commas between; default: all"),
        },
    ),
}  # fmt: skip

FORMER_STAGES = {
    "book": "phrase-index", "library": "exemplars", "matcher": "scorer", "practice": "self-training",
    "reader": "parser",
}  # fmt: skip
FORMER_OPTIONS = {
    "--book": "--phrase-index", "--library": "--exemplars", "--matcher": "--scorer", "--practice": "--self-training",
    "--reader": "--parser", "--paired": "--recorded",
}  # fmt: skip
"""Names of version 0.1, accepted for one release without being shown."""

"""The table of corpora: reader, licence, the folder that the site gives, and what the store gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from pkgutil import resolve_name
from typing import Any

from instruct_data.clip import Clip, check_split
from instruct_data.sources.corpus import Corpus, Report
from instruct_data.store import Store
from vqvae.errors import UserError

_AMASS = "AMASS in amass_data/ or where --amass says"
_BVH = "**/*.[bB][vV][hH]"
_BANDAI = "Bandai-Namco-Research-Motiondataset-*/data/*.bvh"
_MEAD_TRACKS = "*/video/front/*/level_*/*.npz"

CORPORA = {c.name: c for c in (
    Corpus(
        "bandai-namco", "locomotion:read_bandai_namco", "CC BY-NC 4.0",
        "dataset/Bandai-Namco-Research-Motiondataset-N/data/dataset-N_CONTENT_STYLE_NUMBER.bvh, data.zip unpacked",
        "bodies; captions of this project from action and style",
        (f"dataset/{_BANDAI}|{_BANDAI}|data/dataset-*.bvh|dataset-*.bvh",),
    ),
    Corpus(
        "cmu", "locomotion:read_cmu", "CMU mocap terms (free use with credit)",
        "subjects/NN/NN.asf with subjects/NN/NN_MM.amc, or NN/NN_MM.bvh; and, for captions, cmu-mocap-index-text.txt",
        "bodies; captions from the index",
        ("subjects/*/*.amc|*/*.amc|*/*_*.bvh|data/*/*_*.bvh|*/*/*_*.bvh",), ("split", "fps"),
    ),
    Corpus(
        "humanml3d", "humanml3d:read_humanml3d", "HumanML3D (AMASS and HumanAct12 terms, non-commercial)",
        "the repository with HumanML3D/train.txt, val.txt, test.txt, HumanML3D/texts/ (texts.zip unpacked), and either "
        f"index.csv and {_AMASS}, or HumanML3D/new_joint_vecs/",
        "bodies and parts of them, each with its captions; without twist about bones where they come from "
        "new_joint_vecs",
        ("index.csv|HumanML3D/new_joint_vecs|new_joint_vecs", "HumanML3D/texts/*.txt|texts/*.txt",
         "HumanML3D/train.txt|train.txt"), ("split", "amass"),
    ),
    Corpus(
        "kit-ml", "humanml3d:read_kit_ml", "KIT-ML terms (research)",
        "KIT-ML/ with new_joint_vecs/*.npy (frames, 251), texts/*.txt, train.txt, val.txt, test.txt "
        "(Guo et al.'s release)",
        "bodies with captions", ("new_joint_vecs/*.npy", "texts/*.txt", "train.txt"),
    ),
    Corpus(
        "babel", "amass:read_babel", "BABEL and AMASS terms (non-commercial research)",
        f"babel_v1.0_release/train.json, val.json, where wanted extra_train.json and extra_val.json, and {_AMASS}",
        "a body for each labelled span and labelled recording", ("train.json|babel_v*_release/train.json",),
        ("split", "amass"),
    ),
    Corpus(
        "motion-x", "amass:read_motion_x", "Motion-X terms (non-commercial research)",
        "motion_data/smplx_322/SUBSET/.../NAME.npy (frames, 322) and texts/semantic_labels/SUBSET/.../NAME.txt; and, "
        "for splits, train.txt, val.txt and test.txt of paths",
        "bodies with captions",
        ("motion_data/smplx_322/**/*.npy", "texts/semantic_labels/**/*.txt|semantic_labels/**/*.txt"),
    ),
    Corpus(
        "100style", "locomotion:read_100style", "CC BY 4.0",
        "Frame_Cuts.csv and STYLE/STYLE_KIND.bvh, as Aeroplane/Aeroplane_FW.bvh",
        "bodies; captions of this project from kind and style", ("Frame_Cuts.csv", "*/*_*.bvh"),
    ),
    Corpus(
        "lafan1", "locomotion:read_lafan1", "CC BY-NC-ND 4.0", "lafan1/THEMENUMBER_subjectN.bvh, lafan1.zip unpacked",
        "bodies without captions; subject 5 is test", ("*_subject*.bvh|lafan1/*_subject*.bvh",),
    ),
    Corpus(
        "amass", "amass:read_amass_folder", "AMASS licence (non-commercial research)",
        "*.npz of AMASS, SMPL-H or SMPL-X in folders of their sub-sets, with captions in NAME.txt",
        "bodies, Z up unless --up y says otherwise", ("**/*.npz",), ("split", "licence", "up"),
    ),
    Corpus(
        "bvh", "packs:read_bvh_folder", "not stated",
        "*.bvh, in folders or not, with --captions captions.csv (columns animation, caption), or NAME.txt beside each",
        "bodies with the captions given", (_BVH,), ("split", "captions", "source", "licence"),
    ),
    Corpus(
        "pack", "packs:read_pack", "not stated",
        "*.glb, *.gltf and *.bvh of named animations, or one such file, with captions.csv, .jsonl or .yaml",
        "bodies settled on the floor, with captions by the animations' names",
        (f"**/*.[gG][lL][bB]|**/*.[gG][lL][tT][fF]|{_BVH}",), ("split", "captions", "source", "licence"),
        (".glb", ".gltf", ".bvh"),
    ),
    Corpus(
        "cc0-actions", "packs:read_cc0_actions", "CC0 1.0", "*.bvh of KayKit's, Quaternius' and Mesh2Motion's actions",
        "bodies; captions of this project", (_BVH,),
    ),
    Corpus(
        "smartbody-actions", "packs:read_smartbody_actions", "LGPL-2.1 (SmartBody, USC ICT)",
        "motions.npz, clips.jsonl and joints.json", "walks, runs, jumps, kicks and punches as bodies; captions of this "
        "project", ("motions.npz", "clips.jsonl", "joints.json"),
    ),
    Corpus(
        "smartbody", "packs:read_smartbody", "LGPL-2.1 (SmartBody, USC ICT)",
        "motions.npz, clips.jsonl and joints.json", "named gestures: class, hand and the times of their phases",
        ("motions.npz", "clips.jsonl", "joints.json"),
    ),
    Corpus(
        "mesh2motion", "packs:read_mesh2motion", "CC0 1.0", "*.glb with a skin and animations",
        "gestures with fingers, by name", ("*.glb",),
    ),
    Corpus(
        "beat", "talks:read_beat", "BEAT terms (non-commercial research)",
        "beat_english_v0.2.1/SPEAKER/NAME.bvh with NAME.wav and NAME.TextGrid", "talks with sound and word times",
        ("**/*.bvh",),
    ),
    Corpus(
        "beat2", "talks:read_beat2", "BEAT2 terms (non-commercial research)",
        "beat_english_v2.0.0/ with smplxflame_30/NAME.npz, wave16k/NAME.wav, textgrid/NAME.TextGrid, "
        "train_test_split.csv", "talks with sound and word times",
        ("smplxflame_30/*.npz", "wave16k/*.wav", "textgrid/*.TextGrid", "train_test_split.csv"), (),
    ),
    Corpus(
        "beat2-take", "talks:read_beat2_take", "BEAT2 terms (non-commercial research)",
        "body22.npz with NAME.npz and NAME.flac, one take of BEAT2", "one talk, for validation only: its terms forbid "
        "training", ("body22.npz", "*_*.npz"), (),
    ),
    Corpus(
        "zeroeggs", "talks:read_zeroeggs", "ZeroEGGS terms (CC BY-NC-ND 4.0)",
        "data/ with info.csv and, of Zeggs_data.zip, clean/ with NAME.bvh and NAME.wav; where there are words, "
        "NAME.TextGrid or NAME.csv", "monologues with sound and style",
        ("**/*.bvh",),
    ),
    Corpus(
        "llavataros", "talks:read_llavataros", "not stated", "data/ with datasets/zaos1/NAME.npy, (frames, 9, 7), "
        "each with NAME.wav, and alignments/NAME.TextGrid, or NAME.npy with NAME.wav in a folder",
        "upper bodies of monologues with sound, and words where there are some", ("**/*.npy",),
    ),
    Corpus(
        "genea2023", "talks:read_genea", "CC BY-NC 4.0 (Talking With Hands 16.2M)",
        "trn/ and val/, each with main-agent/ and interloctr/, of which each has bvh/, wav/ and tsv/ of "
        "SPLIT_2023_v0_NUMBER_ROLE, and metadata.csv",
        "conversations: sound and words of both, motion of the main agent",
        ("trn/main-agent/bvh/*.bvh|val/main-agent/bvh/*.bvh|tst/main-agent/bvh/*.bvh",), (),
    ),
    Corpus(
        "twh", "talks:read_talking_with_hands", "CC BY-NC 4.0",
        "mocap_data/SESSION/TAKE/*PERSON*.bvh and audio_data/SESSION/TAKE/*PERSON*.wav, PERSON as deep2 or shallow7",
        "conversations with the sound of both", ("mocap_data/*/*/**/*.bvh",),
    ),
    Corpus(
        "mead", "films:read_mead", "MEAD terms (non-commercial research)",
        "ACTOR/video/front/EMOTION/level_N/NNN.mp4, where wanted with MediaPipe's shapes in NNN.npz beside it, and "
        "ACTOR/audio/EMOTION/level_N/NNN.m4a", "faces with sound and emotion; captions of this project",
        (f"*/video/front/*/level_*/*.mp4|{_MEAD_TRACKS}",), ("split", "fps", "capture"),
    ),
    Corpus(
        "hdtf", "films:read_hdtf", "CC BY 4.0",
        "HDTF_dataset/PART_annotion_time.txt of RD, WDA, WRA, and, anywhere in the folder, NAME_K.mp4, "
        "PART_NAME_KKK.mp4 or whole NAME.mp4", "faces of people who talk",
        ("**/*_annotion_time.txt", "**/*.mp4|**/*.MP4"), ("split", "capture"),
    ),
    Corpus(
        "talkinghead1kh", "films:read_talkinghead1kh", "CC BY 3.0",
        "train/cropped_clips/, val/cropped_clips/ with ID_NNNN_S.._E.._L.._T.._R.._B...mp4", "faces of people who talk",
        ("cropped_clips/*.mp4|*/cropped_clips/*.mp4",), ("split", "capture"),
    ),
    Corpus(
        "cc-v1", "films:read_cc_v1", "Casual Conversations terms",
        "CasualConversations.json, or CC_annotations/CasualConversations.json, and "
        "CasualConversationsA/SUBJECT/NAME.MP4 ...", "faces of people who talk, with age and gender as they give them",
        ("CasualConversations.json|*/CasualConversations.json",), ("split", "capture"),
    ),
    Corpus(
        "quantised", "quantised:read", "of each source, as its clips say",
        "captions.jsonl, skeleton.json and shards motions_NN.npz", "bodies with captions",
        ("captions.jsonl", "skeleton.json", "motions_*.npz"),
    ),
)}  # fmt: skip


def find_corpus(name: str) -> Corpus:
    """The corpus of that name. Raises UserError for an unknown one."""
    if name not in CORPORA:
        raise UserError(f"{name}: no such corpus; accepted: {', '.join(CORPORA)}")
    return CORPORA[name]


def read_corpus(name: str, folder: str | os.PathLike[str], report: Report, **options: Any) -> Iterator[Clip]:
    """Clips of a corpus with their motions in memory; those that cannot be read are skipped.

    Args:
        name: a key of `CORPORA`.
        folder: as the site gives it, or the folder around it.
        report: filled while the clips are read.
        options: those that the corpus takes: ``split`` (only this one; that of all clips where the corpus names
            none), ``amass``, ``captions``, ``fps``, ``source``, ``licence``, ``up``, ``capture`` (what reads faces
            off films, `instruct_data.sources.films.FaceCapture`).
    """
    corpus = find_corpus(name)
    for option in options:
        if option not in corpus.options:
            takers = ", ".join(key for key, other in CORPORA.items() if option in other.options)
            raise UserError(f"--{option}: not for {name}; accepted for: {takers}")
    check_split(options.get("split"))
    root = corpus.locate(folder)
    clips: Iterator[Clip] = resolve_name(f"{__package__}.{corpus.reader}")(root, corpus, report, **options)
    return clips


def build_store(
    name: str, folder: str | os.PathLike[str], output: str | os.PathLike[str], report: Report | None = None,
    **options: Any,
) -> Store:  # fmt: skip
    """Read a corpus and write it as a store."""
    report = Report() if report is None else report
    clips = read_corpus(name, folder, report, **options)
    first = list(islice(clips, 1))
    if not first:
        why = "; ".join(report.reasons()[:3]) or f"{name} expects {CORPORA[name].tree}"
        raise UserError(f"{folder}: no clip in it could be used: {why}")
    return Store.write(chain(first, clips), output)

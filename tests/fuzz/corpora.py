"""Readers of downloaded corpora, with what they are fed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.fuzz.running import Target
from tests.instruct_data import corpus_trees as trees


def corpora(folder: Path) -> dict[str, Target]:
    """Name -> target; the whole files are written into `folder`."""
    from instruct_data.sources.babel import labels
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.humanml3d import read_index
    from instruct_data.sources.locomotion import frame_cuts
    from vqvae.io.asf import parse_amc, parse_asf, read_amc, read_asf
    from vqvae.io.data_files import read_object
    from vqvae.io.files import parsing
    from vqvae.io.smplx import read_parameters
    from vqvae.retarget import retarget
    from vqvae.rig import Rig

    here = folder / "corpora"
    trees.acclaim(here, trees.walking(4))
    trees.amass(here / "smplx.npz", 20.0, 0.5)
    asf, amc = (here / "01.asf").read_bytes(), (here / "01_01.amc").read_bytes()
    whole = parse_asf(asf.decode())

    def sound(rig: Rig) -> None:
        assert np.isfinite(rig.rotations).all() and np.isfinite(rig.translations).all()
        retarget(rig)

    def skeleton(path: Path) -> None:
        bones = read_asf(path)
        with parsing(path, "a skeleton of that motion"):
            sound(parse_amc(amc.decode(), bones, 120.0))

    def motion(path: Path) -> None:
        rig = read_amc(path, whole, 120.0)
        with parsing(path, "a motion of a body"):
            sound(rig)

    def spans(path: Path) -> None:
        entry = read_object(path)
        with parsing(path, "a recording of BABEL"):
            labels(entry, Report())

    label = {"raw_label": "walk", "proc_label": "walk", "act_cat": ["walk"], "start_t": 0.5, "end_t": 2.0}
    recording = {"seq_ann": {"labels": [label]}, "frame_ann": {"labels": [label, label]}}
    index = b"source_path,start_frame,end_frame,new_name\n./pose_data/KIT/3/a_poses.npy,10,50,000000.npy\n"
    cuts = b"STYLE_NAME,FW_START,FW_STOP\nAngry,30,150\nOld,N/A,N/A\n"
    return {
        "asf": Target([asf], ".asf", skeleton, True),
        "amc": Target([amc], ".amc", motion, True),
        "index of humanml3d": Target([index], ".csv", read_index, True, 0.5),
        "cuts of 100style": Target([cuts], ".csv", frame_cuts, True, 0.5),
        "labels of babel": Target([json.dumps(recording).encode()], ".json", spans, True, 0.5),
        "parameters of a body": Target([(here / "smplx.npz").read_bytes()], ".npz", read_parameters),
    }  # fmt: skip

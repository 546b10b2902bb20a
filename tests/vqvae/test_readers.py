"""The guarded readers: regular files of bounded size, and one line for whatever is in them."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.train.checkpoints import load_checkpoint
from vqvae.errors import UserError
from vqvae.io.data_files import map_array, parse_yaml, plain_number, plain_numbers, read_arrays, read_object
from vqvae.io.files import parsing, read_text, regular_file
from vqvae.io.gltf_rigs import common_times
from vqvae.io.tensors import load_tensors, no_larger_than
from vqvae.motion import MAX_FRAMES, Motion


def bomb(path: Path, shape: tuple[int, ...], name: str = "rotations", dtype: str = "<f4") -> Path:
    """An `.npz` whose one array is all zeros, compressed: a megabyte for a gigabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        left = int(np.prod(shape)) * np.dtype(dtype).itemsize
        while left:
            left -= file.write(bytes(min(left, 1 << 24)))
    return path


def peak(call: Callable[[], object]) -> int:
    """Bytes at most while something is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
@pytest.mark.parametrize("read", [regular_file, read_arrays, map_array, read_object, load_tensors, Motion.load])
def test_pipes_and_folders_are_refused_at_once(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match=r"pipe\.npz: not a regular file"):
        read(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none" / "x.npz")


def test_larger_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 11)
    assert read_text(tmp_path / "a.txt", 11) == "x" * 11
    with pytest.raises(UserError, match="larger than 10 bytes; a word"):
        read_text(tmp_path / "a.txt", 10, "a word")


@pytest.mark.parametrize(
    ("error", "told"),
    [(AttributeError("no x"), "no x"), (RecursionError("..."), "nested too deeply"), (OverflowError(), "OverflowError"),
     (ZeroDivisionError("a\nb"), "a"), (SystemError("bad"), "bad"), (KeyError("k"), "no 'k'"),
     (MemoryError(), "larger than the memory")],
)  # fmt: skip
def test_whatever_the_contents_raise_is_one_line(error: Exception, told: str) -> None:
    with pytest.raises(UserError) as caught, parsing("x.bin", "a thing", "accepted: another"):
        raise error
    assert str(caught.value) == f"x.bin: not a thing ({told}); accepted: another"
    with pytest.raises(UserError, match=r"^x\.bin: wrong$"), parsing("x.bin", "a thing"):
        raise UserError("wrong")
    with pytest.raises(KeyboardInterrupt), parsing("x.bin", "a thing"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "told"),
    [("[" * 100_000, "nested"), ("{a: " * 100_000, "nested"), ("- " * 100_000, "nested"), ("? " * 100_000, "nested"),
     ("x: !!int x", "not YAML"), ("2001-99-99", "not YAML"), ("!!timestamp x", "not YAML"), ("9" * 5000, "not YAML"),
     ("&a [*a]", "part of"), ("1:" * 200_000, "characters"), ("\x00", "not YAML"), ("{[a]: b}", "not YAML"),
     ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
      for a, b in zip("abcdefgh", "bcdefghi", strict=True)), "values")],
)  # fmt: skip
def test_yaml_that_crashes_floods_or_is_none(text: str, told: str) -> None:
    with pytest.raises(UserError, match=f"f.yaml.*{told}"):
        parse_yaml(text, "f.yaml")


def test_yaml_with_aliases_and_dates_is_read() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\n<<: {c: 3}", "f") == {"a": [1, 2], "b": [1, 2], "c": 3}


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "\udcff", "[1]", '{"a": '])
def test_json_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"a\.json: not (a )?JSON"):
        read_object(tmp_path / "a.json")


def test_arrays_are_not_read_before_their_headers(tmp_path: Path) -> None:
    large = bomb(tmp_path / "a.npz", (2_000_000, 22, 4))
    assert large.stat().st_size < 1 << 20
    assert peak(lambda: Motion.load(large)) < 64 << 20
    assert peak(lambda: read_arrays(large)) < 64 << 20
    small = bomb(tmp_path / "b.npz", (1 << 26,), dtype="|i1")  # as floats they would take four times as much
    assert peak(lambda: read_arrays(small)) < 64 << 20
    with pytest.raises(UserError, match=r"accepted up to 64 MiB"):
        read_arrays(large)


def test_no_more_than_the_most_frames(tmp_path: Path, wander: Callable[..., Motion]) -> None:
    assert MAX_FRAMES == 2_000_000
    path = bomb(tmp_path / "a.npz", (MAX_FRAMES + 1, 1))
    with np.load(wander(3).save(tmp_path / "b.npz")) as whole, zipfile.ZipFile(path, "a") as z:
        for key in ("modality", "fps", "root", "joint_names"):
            with z.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, whole[key], allow_pickle=False)
    with pytest.raises(UserError, match=f"{MAX_FRAMES + 1} rows; at most {MAX_FRAMES}"):
        Motion.load(path)


def test_headers_that_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for shape, size in (((10,), 36), ((10,), 44), ((2**62,), 40), ((-1,), 4)):
        with zipfile.ZipFile(path, "w") as z, z.open("x.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(bytes(size))
        with pytest.raises(UserError, match=r"a\.npz"):
            read_arrays(path)
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(UserError, match="an array of object"):
        read_arrays(path)


@pytest.mark.parametrize("length", [0.99, 1.01, 1e20, 0.0, np.nan])
def test_rotations_that_are_none_are_refused(wander: Callable[..., Motion], length: float) -> None:
    clip = wander(4)
    turned = clip.rotations.astype(np.float64)
    turned[2, 5] *= length
    with pytest.raises(UserError, match="frame 2"):
        Motion(turned, clip.root)
    assert len(Motion(clip.rotations * 1.0005, clip.root)) == 4


def test_a_place_beyond_the_world_is_refused(wander: Callable[..., Motion]) -> None:
    clip = wander(4)
    with pytest.raises(UserError, match=r"frame \d: the root is too far away; accepted up to 1000 km"):
        Motion(clip.rotations, clip.root + 1e30)


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(Path(os.environ["RAN"])),)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": _Runs(), "step": 1}, path)
    with pytest.raises(UserError, match=r"checkpoint\.pt: not a whole checkpoint"):
        load_checkpoint(path, torch.device("cpu"))
    path.write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(UserError, match=r"checkpoint\.pt: not a whole checkpoint"):
        load_checkpoint(path, torch.device("cpu"))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(FileNotFoundError):  # that it would have run
        monkeypatch.setenv("RAN", str(tmp_path / "none" / "ran"))
        pickle.loads(pickle.dumps(_Runs()))


def test_a_network_is_not_made_larger_than_its_weights() -> None:
    weights = {"weight": torch.zeros(8, 8), "bias": torch.zeros(8)}
    with no_larger_than(weights):
        torch.nn.Linear(8, 8)
    for make in (
        lambda: torch.nn.Linear(100_000, 100_000), lambda: torch.randn(10**10), lambda: torch.zeros(10**6, 10**6),
        lambda: [torch.nn.Linear(1, 1) for _ in range(10**9)],
    ):  # fmt: skip
        with pytest.raises(ValueError, match="larger network"), no_larger_than(weights):
            make()


@pytest.mark.parametrize("text", ["1_0", "٣", "1٣", "", "x", "1e"])
def test_numbers_that_only_python_takes(text: str) -> None:
    with pytest.raises(ValueError):
        plain_number(text)
    if text:
        with pytest.raises(ValueError):
            plain_numbers(f"1 {text} 2")
    assert plain_number("-1.5e3") == -1500 and plain_numbers("1 -2.5\n3").tolist() == [1, -2.5, 3]


def test_a_safetensors_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    for data in (b"", b"\xff" * 8, len(header).to_bytes(8, "little") + header, (10**12).to_bytes(8, "little") + header):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"a\.safetensors: not a safetensors file"):
            load_tensors(path)


def test_few_key_frames_make_a_clip_of_a_usual_rate() -> None:
    times, fps = common_times([np.array([0.0, 4.0, 8.0])])
    assert fps == 30 and len(times) == 241


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: 2\na: 3", 3), ("x:\n  - {k: 1, l: 2, k: 3}", 2), ("[a, a]: 1\nb: {c: 1}\nb: 2", 3),
     ("a: {b: 1}\nc: [d, d]\n'a': 1", 3)],
)  # fmt: skip
def test_a_key_that_is_there_twice(text: str, line: int) -> None:
    with pytest.raises(UserError, match=rf"f\.yaml, line {line}: .*key '.' is there twice"):
        parse_yaml(text, "f.yaml")


def test_the_same_key_in_several_mappings_is_no_other() -> None:
    text = "a: &a {k: 1}\nb: {k: a, a: k}\nc: *a\nd: [{k: k}, {k: [k, k]}]\ne: {<<: *a, f: a}"
    k = {"k": 1}
    assert parse_yaml(text, "f") == {
        "a": k, "b": {"k": "a", "a": "k"}, "c": k, "d": [{"k": "k"}, {"k": ["k", "k"]}], "e": {"k": 1, "f": "a"},
    }  # fmt: skip

"""Guarded readers: regular files of bounded size, data that runs no code, one line for whatever is wrong."""

import gzip
import json
import lzma
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatargpt.train.checkpoints import load_checkpoint
from vqvae.errors import UserError
from vqvae.io.data_files import (
    json_rows,
    map_array,
    parse_yaml,
    plain_number,
    plain_numbers,
    read_arrays,
    read_object,
    read_packed,
)
from vqvae.io.files import parsing, read_bytes, read_text, regular_file
from vqvae.io.gltf_rigs import common_times
from vqvae.io.pickles import read_pickle
from vqvae.io.tensors import load_tensors, no_larger_than
from vqvae.motion import MAX_FRAMES, Motion

# --- files


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


def peak(call: Callable[[], object], line: str | None = None) -> int:
    """Bytes at most while something is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=line):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_more_is_read_than_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is larger, and of one that tells another size than it has."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 << 20)

    def most_memory() -> int:
        return peak(lambda: read_bytes(big, 1 << 20), "larger than 1 MiB")

    assert most_memory() < 1 << 19
    monkeypatch.setattr(os, "fstat", lambda handle: SimpleNamespace(st_size=0, st_blksize=4096))
    assert most_memory() < 4 << 20
    (tmp_path / "grown").write_bytes(b"x" * 10)
    assert read_bytes(tmp_path / "grown", 10) == b"x" * 10


@pytest.mark.parametrize(
    ("error", "words"),
    [(AttributeError("no x"), "no x"), (RecursionError("..."), "nested too deeply"), (OverflowError(), "OverflowError"),
     (ZeroDivisionError("a\nb"), "a"), (SystemError("bad"), "bad"), (KeyError("k"), "no 'k'")],
)  # fmt: skip
def test_whatever_the_contents_raise_is_one_line(error: Exception, words: str) -> None:
    with pytest.raises(UserError) as caught, parsing("x.bin", "a thing", "accepted: another"):
        raise error
    assert str(caught.value) == f"x.bin: not a thing ({words}); accepted: another"
    with pytest.raises(UserError, match=r"^x\.bin: wrong$"), parsing("x.bin", "a thing"):
        raise UserError("wrong")
    with pytest.raises(KeyboardInterrupt), parsing("x.bin", "a thing"):
        raise KeyboardInterrupt


# --- YAML, JSON, numbers

BILLIONS = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 100_000, "nested"), ("{a: " * 100_000, "nested"), ("- " * 100_000, "nested"), ("? " * 100_000, "nested"),
     ("x: !!int x", "not YAML"), ("2001-99-99", "not YAML"), ("!!timestamp x", "not YAML"), ("9" * 5000, "not YAML"),
     ("&a [*a]", "part of"), ("1:" * 200_000, "characters"), ("\x00", "not YAML"), ("{[a]: b}", "not YAML"),
     (f"a: &a [1,1,1,1,1,1,1,1,1,1]\n{BILLIONS}", "values"),
     ("a: 1\nb: 2\na: 3", "line 3: .*key 'a' is there twice"),
     ("x:\n  - {k: 1, l: 2, k: 3}", "line 2: .*key 'k' is there twice"),
     ("[a, a]: 1\nb: {c: 1}\nb: 2", "line 3: .*key 'b' is there twice"),
     ("a: {b: 1}\nc: [d, d]\n'a': 1", "line 3: .*key 'a' is there twice")],
)  # fmt: skip
def test_bad_yaml(text: str, words: str) -> None:
    with pytest.raises(UserError, match=f"f.yaml.*{words}"):
        parse_yaml(text, "f.yaml")


def test_yaml_with_aliases_and_equal_keys_of_several_mappings() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\n<<: {c: 3}", "f") == {"a": [1, 2], "b": [1, 2], "c": 3}
    text = "a: &a {k: 1}\nb: {k: a, a: k}\nc: *a\nd: [{k: k}, {k: [k, k]}]\ne: {<<: *a, f: a}"
    k = {"k": 1}
    assert parse_yaml(text, "f") == {
        "a": k, "b": {"k": "a", "a": "k"}, "c": k, "d": [{"k": "k"}, {"k": ["k", "k"]}], "e": {"k": 1, "f": "a"},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "\udcff", "[1]", '{"a": '])
def test_bad_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"a\.json: not (a )?JSON"):
        read_object(tmp_path / "a.json")


def test_lines_of_json_have_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    text = "one\u2028two\u0085three\x0b"  # characters that str.splitlines takes for line ends
    path.write_text("{}\n\n" + json.dumps({"text": text}, ensure_ascii=False) + "\n[1]", encoding="utf-8")
    assert list(json_rows(path)) == [(1, {}), (3, {"text": text}), (4, [1])]
    for content, words in (
        (b'{}\n{"a": 1', "line 2: not JSON"), (b"\xff\xfe", "not UTF-8 text"), (b"[" * 100_000, "line 1: not JSON"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            list(json_rows(path))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_lines_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"rows.jsonl.{'gz' if pack is gzip.compress else 'xz'}"
    packed = pack(b'{"a": 1}\n\n[2]\n')
    path.write_bytes(packed)
    assert list(json_rows(path)) == [(1, {"a": 1}), (3, [2])]
    for content in (packed[:-9], b'{"a": 1}', b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a complete"):
            list(json_rows(path))
    path.write_bytes(pack(bytes(1 << 21)))
    with pytest.raises(UserError, match="larger than 1 MiB"):
        read_packed(path, 1 << 20)


@pytest.mark.parametrize("text", ["1_0", "٣", "1٣", "", "x", "1e"])
def test_numbers_that_only_python_takes(text: str) -> None:
    with pytest.raises(ValueError):
        plain_number(text)
    if text:
        with pytest.raises(ValueError):
            plain_numbers(f"1 {text} 2")
    assert plain_number("-1.5e3") == -1500 and plain_numbers("1 -2.5\n3").tolist() == [1, -2.5, 3]


# --- arrays


def bomb(path: Path, shape: tuple[int, ...], name: str = "rotations", dtype: str = "<f4") -> Path:
    """An `.npz` whose one array is all zeros, compressed: a megabyte for a gigabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        left = int(np.prod(shape)) * np.dtype(dtype).itemsize
        while left:
            left -= file.write(bytes(min(left, 1 << 24)))
    return path


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
    with np.load(wander(3).save(tmp_path / "b.npz")) as clip, zipfile.ZipFile(path, "a") as z:
        for key in ("modality", "fps", "root", "joint_names"):
            with z.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, clip[key], allow_pickle=False)
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


def test_few_key_frames_make_a_clip_of_a_usual_rate() -> None:
    times, fps = common_times([np.array([0.0, 4.0, 8.0])])
    assert fps == 30 and len(times) == 241


# --- pickles, checkpoints, tensors


class Runs:
    """A pickle of it makes a folder when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["RAN"])),)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return tmp_path / "ran"


def pickled(folder: Path, data: bytes) -> Path:
    path = folder / "words.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [["a", "é", "a", "x" * 300], {"unk": 0, "walk": 70_000, "far": 1 << 40, "left": -1}, [], {}, ["one"], {"one": 1},
     [str(i) for i in range(3000)], {str(i): i for i in range(3000)}],
    ids=["words", "rows", "no words", "no rows", "one word", "one row", "many words", "many rows"],
)  # fmt: skip
def test_pickles_of_words_and_rows(tmp_path: Path, value: object, protocol: int) -> None:
    assert read_pickle(pickled(tmp_path, pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize(
    "value", [Runs(), [Runs()], {"a": Runs()}, os.mkdir, 1.5, ("a",), {"a"}, b"a", None],
    ids=["call", "in a list", "in a table", "function", "float", "tuple", "set", "bytes", "none"],
)  # fmt: skip
def test_other_pickles_are_refused(tmp_path: Path, ran: Path, value: object) -> None:
    with pytest.raises(UserError, match=r"words\.pkl: not a pickle of words .*; a list"):
        read_pickle(pickled(tmp_path, pickle.dumps(value)), "a list")
    assert not ran.exists()


@pytest.mark.parametrize(
    "data", [b"", b".", b"(.", b"]a.", b"(lp0", b"u.", b"}]s.", b"h\x07.", pickle.dumps(["a"])[:-1]]
)
def test_damaged_pickles(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match="not a pickle of words"):
        read_pickle(pickled(tmp_path, data))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, ran: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": Runs(), "step": 1}, path)
    for _ in range(2):
        with pytest.raises(UserError, match=r"checkpoint\.pt: not a whole checkpoint"):
            load_checkpoint(path, torch.device("cpu"))
        path.write_bytes(pickle.dumps(Runs()))
    assert not ran.exists()
    pickle.loads(path.read_bytes())
    assert ran.exists()  # it would have run


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


def test_bad_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    for data in (b"", b"\xff" * 8, len(header).to_bytes(8, "little") + header, (10**12).to_bytes(8, "little") + header):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"a\.safetensors: not a safetensors file"):
            load_tensors(path)

"""`atomic_write`: whole files whoever writes, dies or fills the disk."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vqvae.errors import UserError
from vqvae.io.files import MARK, atomic_write, check_output

SIZE = 200_000  # bytes of one value each, so that a torn file shows
IMPORTS = "import sys, time\nfrom pathlib import Path\nfrom vqvae.io.files import atomic_write\n"
WRITES = f"""
for k in range(25):
    atomic_write(sys.argv[1], lambda p: p.write_bytes(bytes([k]) * {SIZE}))
"""
BLOCKED = """
def slow(path):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
atomic_write(sys.argv[1], slow)
"""
FULL = """
import resource
import numpy as np, torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
folder, x = Path(sys.argv[1]), np.zeros(100_000)
for name, write in {
    "a.pt": lambda p: torch.save({"x": torch.from_numpy(x)}, p), "b.npz": lambda p: np.savez(p, x=x),
    "c.safetensors": lambda p: save_file({"x": x}, p), "d.txt": lambda p: p.write_text("x" * 400_000),
    "e.safetensors": lambda p: save_torch({"x": torch.from_numpy(x)}, p),
}.items():
    try:
        atomic_write(folder / name, write)
    except Exception as e:
        print(type(e).__name__, e)
"""


def _started(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", IMPORTS + script, str(path)], stdout=subprocess.PIPE, text=True)


def test_the_contents_are_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that loses its power just after the renaming has the whole file."""
    steps: list[tuple[str, int]] = []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(("contents", os.fstat(handle).st_ino))
        assert os.fstat(handle).st_size == 4
        sync(handle)

    def renamed(source: Path, target: Path) -> None:
        steps.append(("name", os.stat(source).st_ino))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    atomic_write(tmp_path / "a.txt", lambda p: p.write_text("text"))
    assert steps == [("contents", steps[0][1]), ("name", steps[0][1])]


def test_many_threads_and_processes_write_one_path_while_others_read_it(tmp_path: Path) -> None:
    path = tmp_path / "one.bin"
    atomic_write(path, lambda p: p.write_bytes(bytes(SIZE)))
    wrong: list[str] = []
    over = threading.Event()

    def write(value: int) -> None:
        try:
            for _ in range(25):
                atomic_write(path, lambda p: p.write_bytes(bytes([value]) * SIZE))
        except Exception as e:
            wrong.append(repr(e))

    def read() -> None:
        while not over.is_set():
            data = path.read_bytes()
            if data != data[:1] * SIZE:
                wrong.append(f"{len(data)} bytes of {set(data)}")

    processes = [_started(WRITES, path) for _ in range(6)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(v,)) for v in range(100, 116)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert [p.wait(60) for p in processes] == [0] * 6
    over.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert [p.name for p in tmp_path.iterdir()] == ["one.bin"]


@pytest.mark.skipif(os.name == "nt", reason="no such locks there")
def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead, living = (_started(BLOCKED, tmp_path / f"{name}.npz") for name in ("dead", "living"))
    for process in (dead, living):
        assert process.stdout and process.stdout.readline() == "writing\n"
    (tmp_path / ".notes.tmp.npz").write_text("not ours")
    dead.kill()
    dead.wait(20)
    assert sorted(p.name.split(MARK)[0] for p in tmp_path.glob(f".*{MARK}*")) == [".dead", ".living"]
    atomic_write(tmp_path / "out.npz", lambda p: p.write_text("whole"))
    left = sorted(p.name.split(MARK)[0] for p in tmp_path.iterdir())
    living.kill()
    living.wait(20)
    assert left == [".living", ".notes.tmp.npz", "out.npz"]


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_a_full_disk_is_told_in_one_line_whatever_library_writes(tmp_path: Path) -> None:
    process = _started(FULL, tmp_path)
    lines = process.communicate(timeout=120)[0].splitlines()
    names = ("a.pt", "b.npz", "c.safetensors", "d.txt", "e.safetensors")
    assert lines == [f"WriteError cannot write {tmp_path / name}: File too large" for name in names]
    assert not [*tmp_path.iterdir()]


def test_atomic_write_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "out.npz"
    target.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        atomic_write(target, fail)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.npz"]


@pytest.mark.skipif(os.name == "nt", reason="no such modes there")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_a_file_is_the_umasks_choice(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        paths = [
            atomic_write(tmp_path / "a.safetensors", lambda p: save_file({"x": np.zeros(1)}, p)),
            atomic_write(tmp_path / "a.txt", lambda p: p.write_text("a")),
        ]
    finally:
        os.umask(before)
    assert [p.stat().st_mode & 0o777 for p in paths] == [mode] * 2


def test_a_link_stays_and_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, target in (("a.txt", "there/a.txt"), ("b.txt", "a.txt"), ("folder", "there")):
        (tmp_path / name).symlink_to(target)
    for name in ("b.txt", "a.txt", "folder/a.txt"):  # the first time there is no such file
        assert atomic_write(tmp_path / name, lambda p: p.write_text(p.suffix)) == tmp_path / name
    assert (tmp_path / "b.txt").is_symlink() and (tmp_path / "a.txt").is_symlink()
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["a.txt"]


def test_what_is_no_file_is_not_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    for name, message in (("pipe.txt", "a pipe or a device"), ("null.txt", "a pipe or a device"), ("a", "links"),
                          ("a/c.txt", "links"), (".", "is a folder")):  # fmt: skip
        for write in (lambda path: atomic_write(path, lambda p: p.write_text("x")), check_output):
            with pytest.raises(UserError, match=message):
                write(tmp_path / name)
    assert (tmp_path / "pipe.txt").is_fifo() and (tmp_path / "null.txt").is_symlink()

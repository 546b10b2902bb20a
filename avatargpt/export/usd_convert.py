"""Writes the skeleton and the motion of a USD file as .npz: ``usd_convert.py SOURCE TARGET MEGABYTES SECONDS``.

Run in a process of its own, with bounds: damaged files make OpenUSD abort, or take all memory. What is wrong with a
file is the last line on stderr.
"""

import sys

import numpy as np
from pxr import Usd, UsdGeom, UsdSkel

MAX_FRAMES, MAX_JOINTS, MAX_VALUES = 1_000_000, 1024, 4_000_000
LEAST = 15  # key frames a second, with fewer the stage's rate is taken


def bound_process(megabytes: int, seconds: int) -> None:
    """No more memory and processor time than that, beyond what is in use; elsewhere than on Linux without bounds."""
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def frames_of(times: np.ndarray, stage: Usd.Stage) -> tuple[np.ndarray, float]:
    """Time codes of the frames, and frames a second."""
    per_second = stage.GetTimeCodesPerSecond()
    steps = np.diff(times)
    even = len(steps) and steps.max() - steps.min() < 1e-3 * steps.mean()
    rate = per_second / steps.mean() if even else 0.0
    if not LEAST <= rate <= 1000:
        rate = stage.GetFramesPerSecond()
    if not (0 < rate <= 1000 and per_second > 0):
        sys.exit(f"{rate:g} frames a second; accepted up to 1000")
    count = int(np.floor((times[-1] - times[0]) / per_second * rate + 1e-6)) + 1
    if count > MAX_FRAMES:
        sys.exit(f"{count} frames; accepted up to {MAX_FRAMES}")
    return times[0] + np.arange(count) * per_second / rate, rate


def main(source: str, target: str) -> None:
    stage = Usd.Stage.Open(source)
    cache, moving = UsdSkel.Cache(), []
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        if prim.IsA(UsdSkel.Root):
            cache.Populate(UsdSkel.Root(prim), Usd.TraverseInstanceProxies())
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        if prim.IsA(UsdSkel.Skeleton):
            query = cache.GetSkelQuery(UsdSkel.Skeleton(prim))
            animation = query.GetAnimQuery() if query else None
            if animation and animation.GetJointTransformTimeSamples():
                moving.append((prim, query, sorted(animation.GetJointTransformTimeSamples())))
    if len(moving) != 1:
        names = ", ".join(str(prim.GetPath()) for prim, *_ in moving[:4])
        sys.exit(f"{len(moving)} skeletons with an animation{f' ({names})' if names else ''}; accepted one")
    prim, query, times = moving[0]
    joints = [str(name) for name in query.GetJointOrder()]
    codes, rate = frames_of(np.array(times, np.float64), stage)
    if not 1 <= len(joints) <= MAX_JOINTS or len(joints) * len(codes) > MAX_VALUES:
        sys.exit(f"{len(joints)} joints, {len(codes)} frames; accepted up to {MAX_JOINTS} joints")

    def world(code: float, at_rest: bool = False) -> np.ndarray:
        above = UsdGeom.XformCache(code).GetLocalToWorldTransform(prim)
        return np.array(query.ComputeJointSkelTransforms(code, at_rest)).reshape(-1, 4, 4) @ np.array(above)

    bound = bool(query.HasBindPose())
    rest = np.array(query.GetJointWorldBindTransforms()).reshape(-1, 4, 4) if bound else world(codes[0], True)
    topology = query.GetTopology()
    np.savez(
        target, names=[n.rpartition("/")[2] for n in joints],
        parents=[topology.GetParent(j) for j in range(len(joints))],
        rest=rest, moved=np.stack([world(c) for c in codes]), fps=rate, bound=bound,
        up=str(UsdGeom.GetStageUpAxis(stage)).lower(),
    )  # fmt: skip


if __name__ == "__main__":
    bound_process(int(sys.argv[3]), int(sys.argv[4]))
    main(sys.argv[1], sys.argv[2])

"""Objectives of tokenizers by modality: losses on a batch, and figures on held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch

from avatargpt.metrics.face import events_kept
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.features import UPPER, gesture_joints
from vqvae.losses import (
    FaceLossWeights,
    GestureLossWeights,
    LossWeights,
    body_joints,
    body_losses,
    body_points,
    face_losses,
    gesture_losses,
)
from vqvae.tokenizer import MotionTokenizer

Losses = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]


class Objective(Protocol):
    """Losses and figures of one modality."""

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """Weighted terms that are summed, and figures that are only logged; (B, T, D) normalised features."""

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        """Figures over full clips (all levels), overall and of the `rare` sources; none without clips."""


def _through(model: MotionTokenizer, clips: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Clips encoded and decoded, and the number of level-0 codes that they use."""
    out, used = [], set()
    for features in clips:
        codes = model.encode_features(features)
        used.update(codes[:, 0].tolist())
        out.append(model.decode_features(codes)[: len(features)])
    return out, len(used)


class BodyObjective:
    """Features, joints, path, contacts and jerk."""

    def __init__(self, losses: Mapping[str, float], where: str, downsample: int) -> None:
        self.weights, self.downsample = LossWeights.read(losses, where), downsample

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean joint error in mm."""
        points = body_points(target * std + mean)
        losses = body_losses(predicted, target, mean, std, points, self.weights, self.downsample)
        return losses, {"mpjpe_mm": losses.pop("mpjpe") * 1000}

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        """Mean joint error in the heading frame, mm."""
        if not clips:
            return {}
        rebuilt, used = _through(model, clips)
        errors = np.array([
            float((body_joints(torch.from_numpy(a)) - body_joints(torch.from_numpy(b))).norm(dim=-1).mean()) * 1000
            for a, b in zip(rebuilt, clips, strict=True)
        ])
        figures: dict[str, float] = {"val_mm": float(errors.mean()), "val_codes_used": used}
        return {**figures, "val_rare_mm": float(errors[rare].mean())} if rare.any() else figures


class FaceObjective:
    """Features and their change; lids and lips in units of ARKit weight."""

    def __init__(self, losses: Mapping[str, float], where: str, downsample: int) -> None:
        self.weights = FaceLossWeights.read(losses, where)

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean error of the 52 weights."""
        losses = face_losses(predicted, target, mean, std, self.weights)
        return losses, {"weight_error": losses.pop("weight_error")}

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        """Mean error of the weights, of the head in degrees, and the shares of blinks and of closed lips that stay."""
        if not clips:
            return {}
        rebuilt, used = _through(model, clips)
        errors = np.array([np.abs(a - b)[:, : arkit.COUNT].mean() for a, b in zip(rebuilt, clips, strict=True)])
        head = np.concatenate([np.abs(a - b)[:, arkit.COUNT :] for a, b in zip(rebuilt, clips, strict=True)])
        figures: dict[str, float] = {
            "val_weight_error": float(errors.mean()), "val_head_degrees": float(np.degrees(head.mean())),
            "val_codes_used": used, **{f"val_{k}_kept": v for k, v in events_kept(clips, rebuilt).items()},
        }  # fmt: skip
        return {**figures, "val_rare_weight_error": float(errors[rare].mean())} if rare.any() else figures


class GestureObjective:
    """Features and their change; where upper body and fingers are and how they move."""

    def __init__(self, losses: Mapping[str, float], where: str, downsample: int) -> None:
        self.weights = GestureLossWeights.read(losses, where)

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean error of the 43 joints in mm."""
        losses = gesture_losses(predicted, target, mean, std, self.weights)
        return losses, {"mpjpe_mm": losses.pop("mpjpe") * 1000}

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        """Mean errors from a still pelvis, mm: of all 43 joints, of the wrists, of the fingers from their wrist; the
        speed of the wrists as a share of the clips'."""
        if not clips:
            return {}
        rebuilt, used = _through(model, clips)
        errors, wrists = [], [UPPER.index("l_wrist"), UPPER.index("r_wrist")]
        for a, b in zip(rebuilt, clips, strict=True):
            decoded, real = (gesture_joints(torch.from_numpy(x)).numpy() for x in (a, b))
            # Fingers relative to their wrist: errors of the arm are counted with the wrists.
            hands = [x[:, len(UPPER) :].reshape(len(x), 2, -1, 3) - x[:, wrists, None] for x in (decoded, real)]
            off = (decoded - real, (decoded - real)[:, wrists], hands[0] - hands[1])
            speed = [np.linalg.norm(np.diff(x[:, wrists], axis=0), axis=-1).sum() for x in (decoded, real)]
            errors.append((*(np.linalg.norm(x, axis=-1).mean() * 1000 for x in off), *speed))
        rows = np.array(errors)
        all_mm, wrist_mm, finger_mm = (float(v) for v in rows[:, :3].mean(0))
        speed_ratio = float(rows[:, 3].sum() / max(float(rows[:, 4].sum()), 1e-9))
        out: dict[str, float] = {"val_mm": all_mm, "val_wrist_mm": wrist_mm, "val_finger_mm": finger_mm,
                                 "val_speed_kept": speed_ratio, "val_codes_used": used}  # fmt: skip
        return {**out, "val_rare_mm": float(rows[rare, 0].mean())} if rare.any() else out


OBJECTIVES: dict[str, Callable[[Mapping[str, float], str, int], Objective]] = {
    "body": BodyObjective, "face": FaceObjective, "gesture": GestureObjective,
}  # fmt: skip


def objective(modality: str, losses: Mapping[str, float], where: str, downsample: int) -> Objective:
    """The objective of a modality whose tokens are `downsample` frames each."""
    if modality not in OBJECTIVES:
        raise UserError(f"{where}: no losses for modality {modality!r}; accepted: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[modality](losses, f"{where}: losses", downsample)

"""Videos of episodes: the frames of one episode, and frames as a GIF."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from polyray.errors import InputError

Frame = NDArray[np.uint8]  # [height, width, 3]
_CAPTION_HEIGHT = 16  # pixels
_COLOURS = 256  # that a GIF can hold


def episode_frames(
    env: gymnasium.Env[Any, Any], act: Callable[[Any], int], seed: int, *, max_steps: int = 1000
) -> list[Frame]:
    """Frames of the episode that `env.reset(seed=seed)` begins, its start included, cut after `max_steps` steps.

    Args:
        act: maps an observation to an action.

    Raises:
        InputError: the environment was not made with render_mode="rgb_array".
    """
    if env.render_mode != "rgb_array":
        raise InputError(f'The environment draws {env.render_mode}; make it with render_mode="rgb_array".')
    observation, _ = env.reset(seed=seed)
    frames = [_drawn(env)]
    for _ in range(max_steps):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        frames.append(_drawn(env))
        if terminated or truncated:
            break
    return frames


def record(frames: Sequence[Frame], path: Path, *, fps: float = 5.0, caption: str = "") -> Path:
    """Write `frames`, all of one shape [height, width, 3], as a GIF that repeats for ever, and return its path.

    Up to 256 colours are exact; if there are more, each is replaced by the nearest colour of a palette of 256. The same
    frames give the same bytes.

    Args:
        fps: frames per second.
        caption: text below the picture; none if empty.

    Raises:
        InputError: there are no frames, their shapes differ, or `path` does not end in .gif.
    """
    if path.suffix.lower() != ".gif":
        raise InputError(f"A video is written as a GIF; {path} does not end in .gif.")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) != 1:
        raise InputError(f"A video needs frames of one shape; found {shapes or 'no frame at all'}.")
    pictures = _with_few_colours(np.stack([_captioned(frame, caption) for frame in frames]))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, optimize=False
    )
    return path


def _drawn(env: gymnasium.Env[Any, Any]) -> Frame:
    return np.asarray(env.render(), dtype=np.uint8)


def _captioned(frame: Frame, caption: str) -> Frame:
    if not caption:
        return frame
    height, width, _ = frame.shape
    picture = Image.new("RGB", (width, height + _CAPTION_HEIGHT))
    picture.paste(Image.fromarray(frame))
    ImageDraw.Draw(picture).text((4, height + 2), caption, fill=(255, 255, 255))
    return np.asarray(picture)


def _with_few_colours(frames: Frame) -> list[Image.Image]:
    """Pictures that share one palette, from frames [time, height, width, 3]."""
    packed = frames.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours = np.unique(packed)
    if len(colours) > _COLOURS:
        reference = Image.fromarray(frames.reshape(-1, *frames.shape[2:])).quantize(_COLOURS)
        return [Image.fromarray(frame).quantize(palette=reference, dither=Image.Dither.NONE) for frame in frames]
    palette = np.stack([colours >> 16 & 255, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
    pictures = []
    for numbers in np.searchsorted(colours, packed).astype(np.uint8):
        picture = Image.frombytes("P", numbers.shape[::-1], numbers.tobytes())
        picture.putpalette(palette.tobytes())
        pictures.append(picture)
    return pictures

"""Videos of episodes: the frames of one episode, and frames as a GIF."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from minigrid.core.actions import Actions
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from polyray.errors import InputError

Frame = NDArray[np.uint8]  # [height, width, 3]
Colour = tuple[int, int, int]

_LINE, _MARGIN, _LEAST_WIDTH = 16, 4, 256  # pixels: a line of a caption, the space around it, a picture with a caption
_WHITE, _GREEN, _DARK_GREEN, _RED, _DARK_RED = (
    (255, 255, 255), (90, 220, 90), (30, 110, 30), (255, 100, 90), (140, 40, 30)
)  # fmt: skip
_START_FRAMES, _END_FRAMES = 3, 8  # that show the start and the result, so that a short episode can be followed too
_COLOURS = 256  # that a GIF can hold


def episode_frames(
    env: gymnasium.Env[Any, Any],
    act: Callable[[Any], int],
    seed: int,
    *,
    options: dict[str, Any] | None = None,
    max_steps: int = 1000,
) -> list[Frame]:
    """Frames of the episode that `env.reset(seed=seed, options=options)` begins: its start, every step, its result.

    Below the picture stand the mission and the number of the step and the action; in the last frames, which blink,
    success or failure.

    Args:
        act: maps an observation to an action.
        options: of the environment's `reset`, such as {"start": state}.
        max_steps: the episode is cut after so many steps.

    Raises:
        InputError: the environment was not made with render_mode="rgb_array".
    """
    if env.render_mode != "rgb_array":
        raise InputError(f'The environment draws {env.render_mode}; make it with render_mode="rgb_array".')
    observation, _ = env.reset(seed=seed, options=options)
    mission, limit = str(observation["mission"]), int(env.get_wrapper_attr("max_steps"))
    frames = [_drawn(env, mission, f"at most {limit} steps", _WHITE)] * _START_FRAMES
    reward, terminated, truncated, steps = 0.0, False, False, 0
    while steps < max_steps and not (terminated or truncated):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)  # type: ignore[assignment]  # SupportsFloat
        steps += 1
        frames.append(_drawn(env, mission, f"step {steps} of {limit}: {Actions(action).name}", _WHITE))
    result, *colours = _result(reward, terminated, truncated, steps)
    return frames + [_drawn(env, mission, result, colours[number % 2]) for number in range(_END_FRAMES)]


def _result(reward: float, terminated: bool, truncated: bool, steps: int) -> tuple[str, Colour, Colour]:
    if terminated and reward > 0:
        return f"success after {steps} steps, reward {reward:.2f}", _GREEN, _DARK_GREEN
    reason = "failure" if terminated else "no success: out of time" if truncated else "cut"
    return f"{reason} after {steps} steps", _RED, _DARK_RED


def record(frames: Sequence[Frame], path: Path, *, fps: float = 5.0, caption: str = "") -> Path:
    """Write `frames`, all of one shape [height, width, 3], as a GIF that repeats for ever, and return its path.

    Up to 256 colours are exact; if there are more, each is replaced by the nearest colour of a palette of 256. The same
    frames give the same bytes.

    Args:
        fps: frames per second.
        caption: text below the picture, in as many lines as it needs; none if empty.

    Raises:
        InputError: there are no frames, their shapes differ, or `path` does not end in .gif.
    """
    if path.suffix.lower() != ".gif":
        raise InputError(f"A video is written as a GIF; {path} does not end in .gif.")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) != 1:
        raise InputError(f"A video needs frames of one shape; found {shapes or 'no frame at all'}.")
    captioned = [_captioned(frame, [(caption, _WHITE)]) for frame in frames] if caption else frames
    pictures = _with_few_colours(np.stack(captioned))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, optimize=False
    )
    return path


def _drawn(env: gymnasium.Env[Any, Any], mission: str, status: str, colour: Colour) -> Frame:
    return _captioned(np.asarray(env.render(), dtype=np.uint8), [(mission, _WHITE), (status, colour)])


def _captioned(frame: Frame, paragraphs: Sequence[tuple[str, Colour]]) -> Frame:
    """The frame with paragraphs below it, each in its colour and broken into lines that fit."""
    height, width = frame.shape[0], max(frame.shape[1], _LEAST_WIDTH)
    lines = [(line, colour) for text, colour in paragraphs for line in _broken(text, width - 2 * _MARGIN)]
    picture = Image.new("RGB", (width, height + _LINE * len(lines) + _MARGIN))
    picture.paste(Image.fromarray(frame))
    drawing = ImageDraw.Draw(picture)
    drawing.fontmode = "1"  # no shades, of which a GIF holds few
    for number, (line, colour) in enumerate(lines):
        drawing.text((_MARGIN, height + _LINE * number + 2), line, fill=colour)
    return np.asarray(picture)


def _broken(text: str, width: int) -> list[str]:
    """The words of a text in lines of at most `width` pixels; a word that is longer has a line of its own."""
    lines, font = [""], ImageFont.load_default()
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


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

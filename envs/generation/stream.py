"""Random numbers for compiled code: numpy's PCG64 and the draws of numpy's Generator, bit for bit.

numba accepts a numpy Generator, but a draw takes 50 ns there and its compilation four seconds; here a draw takes 5 ns.
A stream is six numbers at the beginning of an array, and these are all that a checkpoint has to store.
O'Neill 2014, "PCG: a family of simple fast space-efficient statistically good algorithms for random number generation";
Lemire 2019 (arXiv:1805.10941) for integers below a bound.
"""

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled

# An array whose first six numbers are 64 bits each: state (high, low), increment (high, low), whether the upper half of
# the last word is still to be used, and that half.
Stream: TypeAlias = NDArray[np.int64]
N_STREAM = 6

_LOW = (1 << 64) - 1
_HALF = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIER_HIGH = np.uint64(0x2360ED051FC65DA4)
_MULTIPLIER_LOW = np.uint64(0x4385DF649FCCF645)


def stream_of(generator: np.random.Generator) -> Stream:
    """Stream [6] that continues from the present position of `generator`, a PCG64; the generator does not advance."""
    position = generator.bit_generator.state
    state, increment = position["state"]["state"], position["state"]["inc"]
    unused = [position["has_uint32"], position["uinteger"]]
    words = [state >> 64, state & _LOW, increment >> 64, increment & _LOW, *unused]
    return np.array(words, np.uint64).view(np.int64)


def generator_at(stream: Stream) -> np.random.Generator:
    """numpy Generator that continues from the present position of `stream` [6]; the inverse of `stream_of`."""
    words = [int(word) for word in stream.view(np.uint64)]
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": words[0] << 64 | words[1], "inc": words[2] << 64 | words[3]},
        "has_uint32": words[4],
        "uinteger": words[5],
    }
    return np.random.Generator(bits)


def entropy_of(seed: int, name: str, split: str) -> list[int]:
    """Entropy of the SeedSequence for a seed, a level's name and a split ("training" or "evaluation")."""
    digest = hashlib.sha256(f"{split}/{name}".encode()).digest()
    return [seed, *(int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))]


def stream_for(seed: int, name: str, split: str) -> Stream:
    """Stream [6] that depends on a seed, a level's name and a split alone."""
    sequence = np.random.SeedSequence(entropy_of(seed, name, split))
    return stream_of(np.random.Generator(np.random.PCG64(sequence)))


@compiled
def _next_word(stream: Stream) -> np.uint64:
    """Draw 64 bits: a step of the linear congruence modulo 2^128, then xor of its halves and a rotation (XSL-RR)."""
    high, low = np.uint64(stream[0]), np.uint64(stream[1])
    low_1, low_0 = low >> _32, low & _HALF
    factor_1, factor_0 = _MULTIPLIER_LOW >> _32, _MULTIPLIER_LOW & _HALF
    cross = (low_0 * factor_0 >> _32) + low_1 * factor_0
    middle = (cross & _HALF) + low_0 * factor_1
    upper = low_1 * factor_1 + (cross >> _32) + (middle >> _32)  # of the product of `low` and the lower factor
    product = low * _MULTIPLIER_LOW
    new_low = product + np.uint64(stream[3])
    carry = np.uint64(1) if new_low < product else np.uint64(0)
    new_high = upper + high * _MULTIPLIER_LOW + low * _MULTIPLIER_HIGH + np.uint64(stream[2]) + carry
    stream[0], stream[1] = np.int64(new_high), np.int64(new_low)
    turn = new_high >> np.uint64(58)
    mixed = new_high ^ new_low
    return (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))


@compiled
def below(stream: Stream, n: int) -> int:
    """Draw an integer from 0 to n - 1 as `Generator.integers(n)` does; no random bits are used if n is 1.

    Callers pass no literal as n, because numba compiles a function anew for every literal.
    """
    width = np.uint64(n)
    if width <= np.uint64(1):
        return 0
    while True:
        if stream[4] != 0:  # the lower half of a word comes first, the upper one is for the next draw
            stream[4], half = 0, np.uint64(stream[5])
        else:
            word = _next_word(stream)
            stream[4], stream[5], half = 1, np.int64(word >> _32), word & _HALF
        product = half * width
        if product & _HALF >= width or product & _HALF >= ((_HALF + np.uint64(1)) - width) % width:
            return int(np.int64(product >> _32))


@compiled
def uniform(stream: Stream) -> float:
    """Draw a number from [0, 1) as `Generator.uniform(0, 1)` does."""
    return np.float64(_next_word(stream) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def coin(stream: Stream) -> bool:
    """Draw true or false as minigrid does."""
    return below(stream, 2) == 0

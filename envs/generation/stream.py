"""Random numbers for compiled code: PCG64 as numpy's Generator draws from it, bit by bit.

numba can take a numpy Generator, but a draw costs 50 ns there and its compilation four seconds; here it is 5 ns, and a
stream is six numbers in the beginning of an array, which is all that a checkpoint has to keep.
O'Neill 2014, "PCG: a family of simple fast space-efficient statistically good algorithms for random number generation";
Lemire 2019 (arXiv:1805.10941) for whole numbers below a bound.
"""

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled

# Its first six numbers, 64 bits each: state (high, low), increment (high, low), whether half a word is left, that half.
Stream: TypeAlias = NDArray[np.int64]
N_STREAM = 6

_LOW = (1 << 64) - 1
_HALF = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIER_HIGH = np.uint64(0x2360ED051FC65DA4)
_MULTIPLIER_LOW = np.uint64(0x4385DF649FCCF645)


def stream_of(generator: np.random.Generator) -> Stream:
    """The stream [6] that goes on where `generator` (of a PCG64) stands; the generator itself stays where it is."""
    found = generator.bit_generator.state
    state, increment = found["state"]["state"], found["state"]["inc"]
    words = [state >> 64, state & _LOW, increment >> 64, increment & _LOW, found["has_uint32"], found["uinteger"]]
    return np.array(words, np.uint64).view(np.int64)


def generator_at(stream: Stream) -> np.random.Generator:
    """A generator of numpy's that goes on where `stream` [6] stands; the inverse of `stream_of`."""
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
    """What a SeedSequence is made of for that seed, level and split ("training", "evaluation")."""
    digest = hashlib.sha256(f"{split}/{name}".encode()).digest()
    return [seed, *(int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))]


def stream_for(seed: int, name: str, split: str) -> Stream:
    """The stream [6] that depends on these three alone."""
    sequence = np.random.SeedSequence(entropy_of(seed, name, split))
    return stream_of(np.random.Generator(np.random.PCG64(sequence)))


@compiled
def _next_word(stream: Stream) -> np.uint64:
    """The next 64 bits: a step of the linear congruence modulo 2^128, then its halves mixed and turned (XSL-RR)."""
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
    """A whole number from 0 up to, and without, n, as `Generator.integers(n)` draws it; it draws nothing if n is 1.

    Whatever is passed as n should be no literal: numba compiles a function anew for every one.
    """
    width = np.uint64(n)
    if width <= np.uint64(1):
        return 0
    while True:
        if stream[4] != 0:  # of a word the lower half comes first, the upper one is kept for the next draw
            stream[4], half = 0, np.uint64(stream[5])
        else:
            word = _next_word(stream)
            stream[4], stream[5], half = 1, np.int64(word >> _32), word & _HALF
        product = half * width
        if product & _HALF >= width or product & _HALF >= ((_HALF + np.uint64(1)) - width) % width:
            return int(np.int64(product >> _32))


@compiled
def uniform(stream: Stream) -> float:
    """A number from 0 to 1, without 1, as `Generator.uniform(0, 1)` draws it."""
    return np.float64(_next_word(stream) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def coin(stream: Stream) -> bool:
    """True or false, as minigrid draws it."""
    return below(stream, 2) == 0

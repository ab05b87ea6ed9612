"""The draws of many keyed generators at once: bit for bit those that ``keyed_generator`` gives one after the other.

Philox is counter-based, so that the n-th word of every stream is a function of its key alone (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", 2011); how numpy makes numbers of words is told where it is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from flow_rag_vla.tasks.facts.randomness import keyed_generator

Words = npt.NDArray[np.uint64]

_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_KEY_STEPS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_ROUNDS = 10
_FEW = 32
"""Up to here, generators of their own are faster."""
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


class KeyedDraws:
    """One stream a key, all of which are drawn from in step."""

    def __init__(self, keys: Iterable[tuple[str | int, ...]]) -> None:
        """Streams named as in ``keyed_generator``."""
        self._names = list(keys)
        self._alone: dict[int, np.random.Generator] = {}
        """Streams that are drawn from on their own: all where they are few, else those that have drawn a number again
        and so more words than the others, which is about one in 2**32 / bound."""
        if len(self._names) <= _FEW:
            self._alone = {i: keyed_generator(*key) for i, key in enumerate(self._names)}
        hashed = [] if self._all_alone else self._names
        digests = b"".join(hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()[:16] for key in hashed)
        self._key = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)
        self._words = np.zeros((0, len(self._key)), dtype=np.uint64)
        self._drawn: list[bool] = []
        """Of each draw, whether it took half a word."""
        self._taken = 0
        self._half: Words | None = None
        """The upper half of the last word of which a lower half was drawn."""
        self._apart = False
        """Of the others, some have drawn and some had nothing to choose."""

    def __len__(self) -> int:
        """Number of streams."""
        return len(self._names)

    def uniform(self, low: float, high: float) -> npt.NDArray[np.float64]:
        """(n,) the next ``uniform(low, high)`` of each stream."""
        # The upper 53 bits of a word are the fraction.
        self._begin(half=False)
        if self._all_alone:
            return np.array([rng.uniform(low, high) for rng in self._alone.values()], dtype=np.float64)
        numbers = low + (high - low) * ((self._next() >> np.uint64(11)).astype(np.float64) * 2.0**-53)
        for i, rng in self._alone.items():
            numbers[i] = rng.uniform(low, high)
        return numbers

    def integers(self, bounds: int | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n,) the next ``integers(bound)`` of each stream; ``bounds`` (n,) or one for all, from 1 to 2**32.

        Where bounds differ so that some streams draw and others have nothing to choose, it is the last draw.
        """
        bound = np.broadcast_to(np.asarray(bounds, dtype=np.uint64), len(self))
        drawing = bound > 1
        if not drawing.any():
            return np.zeros(len(self), dtype=np.int64)
        if self._all_alone:
            self._begin(half=True)
            self._apart = not drawing.all()
            return np.array(
                [rng.integers(int(n)) for rng, n in zip(self._alone.values(), bound, strict=True)], np.int64
            )
        before = len(self._drawn)
        # Lemire's method: the bound's share of half a word, which is drawn again where it would favour low numbers.
        product = self._next_half() * bound
        numbers = (product >> _HALF).astype(np.int64)
        left = product & _LOW
        for i in np.flatnonzero(drawing & (left < bound)).tolist():
            if i not in self._alone and int(left[i]) < ((1 << 32) - int(bound[i])) % int(bound[i]):
                self._alone[i] = self._replayed(i, before)
        for i, rng in self._alone.items():
            numbers[i] = rng.integers(int(bound[i]))
        self._apart = not drawing.all()
        return numbers

    @property
    def _all_alone(self) -> bool:
        return len(self._names) <= _FEW

    def _begin(self, *, half: bool) -> None:
        if self._apart:
            raise ValueError("streams have drawn unequal numbers of words; a choice among one was their last draw")
        self._drawn.append(half)

    def _next(self) -> Words:
        if self._taken == len(self._words):
            # numpy counts up before it makes a block of four words.
            self._words = np.concatenate([self._words, _block(self._key, self._taken // 4 + 1)])
        self._taken += 1
        return self._words[self._taken - 1]

    def _next_half(self) -> Words:
        self._begin(half=True)
        if self._half is not None:
            half, self._half = self._half, None
            return half
        word = self._next()
        self._half = word >> _HALF
        return word & _LOW

    def _replayed(self, i: int, count: int) -> np.random.Generator:
        """The generator of stream ``i`` after its first ``count`` draws."""
        rng = keyed_generator(*self._names[i])
        for half in self._drawn[:count]:
            _ = rng.integers(2) if half else rng.random()
        return rng


def _block(key: Words, counter: int) -> Words:
    """(4, n) the four words of each stream's block ``counter``."""
    first, second = key[:, 0].copy(), key[:, 1].copy()
    words = [np.full(len(key), counter, dtype=np.uint64), *(np.zeros(len(key), dtype=np.uint64) for _ in range(3))]
    for turn in range(_ROUNDS):
        if turn:
            first += _KEY_STEPS[0]
            second += _KEY_STEPS[1]
        high0, low0 = _product(_MULTIPLIERS[0], words[0])
        high1, low1 = _product(_MULTIPLIERS[1], words[2])
        words = [high1 ^ words[1] ^ first, low1, high0 ^ words[3] ^ second, low0]
    return np.stack(words)


def _product(a: np.uint64, b: Words) -> tuple[Words, Words]:
    """Upper and lower 64 bits of ``a`` times ``b``, from products of halves."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low, middle = a_low * b_low, a_high * b_low
    middle += low >> _HALF
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), a * b

"""What was used last, kept within a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key; the ones unused for longest go first. Several threads may use it at once.

    Args:
        budget: What the weights of all values add up to at most.
        weight: Of one value; by default each counts one.

    Example:
        >>> kept = Recent[str, int](2)
        >>> [kept.get(name, lambda: len(name)) for name in ("a", "bb", "ccc")]
        [1, 2, 3]
        >>> len(kept)
        2
    """

    def __init__(self, budget: float, weight: Callable[[Value], float] = lambda _: 1) -> None:
        self._budget, self._weight = budget, weight
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._used = 0.0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made where it is not kept; two threads may make it both."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._used += self._weight(value)
            while self._used > self._budget and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._used -= self._weight(oldest)
        return value

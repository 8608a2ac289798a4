# SPDX-License-Identifier: Apache-2.0
"""A proxy: an object that behaves like another one in everything that it does not override.

Drivers, listeners and messages of oslo.messaging are wrapped by this one class instead of by
subclasses of its base classes. A subclass would inherit the base's version of a method that only
the real object overrides, among them methods that do not exist yet; here nothing is inherited, so
what is not overridden reaches the real object, private names and assignments included.
"""

from typing import Any

__all__ = ["Proxy"]

# Bound once: a proxy is made for every incoming message.
_set = object.__setattr__


class Proxy:
    """Stands in for the object *real*; `isinstance` sees the class of *real*.

    Subclasses keep their own state in slots whose names start with ``_shm_``; every other
    attribute is read from, set on and deleted from the real object.
    """

    __slots__ = ("__weakref__", "_shm_real")

    _shm_real: Any

    def __init__(self, real: Any) -> None:
        _set(self, "_shm_real", real)

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that this class lacks. A proxy made without __init__, as copy
        # does, lacks the real object itself: the search for that would not end.
        if name == "_shm_real":
            raise AttributeError(name)
        return getattr(self._shm_real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_shm_"):
            _set(self, name, value)
        else:
            setattr(self._shm_real, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._shm_real, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._shm_real)})

    def __repr__(self) -> str:
        return f"<shmetrics on {self._shm_real!r}>"

    @property
    def __class__(self) -> type:
        return type(self._shm_real)

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("the class of a proxy is that of its real object")

"""The root of what the domain raises.

Each says that a caller broke a rule of PROTOCOL or DESIGN; what the outside world does is never raised here
but returned as a value.
"""

from __future__ import annotations


class DomainError(Exception):
    """A caller asked for what the rules do not allow; the message says which rule and what to do instead."""


class IllegalTransitionError(DomainError):
    """An entry or an attempt was to be moved along an edge that PROTOCOL 6 or 12 does not have."""

"""Decoding: the search for an answer token by token, by one network or by several together.

Everything here works on networks and token numbers; skills and files are the business of the floors above.
"""

from polyray.decoding.options import DecodingOptions

__all__ = ["DecodingOptions"]

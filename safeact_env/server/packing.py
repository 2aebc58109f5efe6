"""Whether an answer may be packed with gzip, by what the request says.

Must not know what is answered.
"""

from starlette.datastructures import Headers

__all__ = ["takes_gzip"]

NO = ("q=0", "q=0.0", "q=0.00", "q=0.000")


def takes_gzip(headers: Headers) -> bool:
    """Whether the client takes gzip."""
    wanted = [part.partition(";") for part in headers.get("accept-encoding", "").split(",")]
    return any(name.strip() == "gzip" and quality.strip() not in NO for name, _, quality in wanted)

"""A server on a socket, as `safeact serve` configures it."""

from collections.abc import Iterator

import pytest

from tests.server.serving import serving


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server that the tests of a module share."""
    with serving() as port:
        yield port

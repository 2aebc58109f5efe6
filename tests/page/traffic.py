"""What of the page's traffic tells something hidden."""

import re
from collections.abc import Iterable, Set

from tools.documents.visitor import Exchange

AFTER_THE_END = re.compile(r"/episodes/([^/?]+)/(?:report|expert|explanation)")
DOORS_AFTER_THE_END = ("/grader", "/watch", "/baseline")
TELLING = ('"risk"', '"protected"', '"lookalike"', '"earned"', '"progress"', '"score"')
"""Keys of reports and grades. Task cards have none of them."""


def leaks(exchanges: Iterable[Exchange], over: Set[str]) -> list[str]:
    """What a page may not have asked for or got while its episode ran; episodes in `over` may be told."""
    found = []
    for one in exchanges:
        about = AFTER_THE_END.match(one.path)
        is_early = about[1] not in over if about else not over and one.path in DOORS_AFTER_THE_END
        if is_early:
            found.append(f"{one.method} {one.path}")
        elif not over and not one.path.startswith("/demo"):
            found += [f"{key} in the answer to {one.path}" for key in TELLING if key in one.got]
    return found

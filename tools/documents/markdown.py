"""Markdown for the generated parts of the documents."""

from safeact_env.version import VERSION


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plain(text: str) -> str:
    """Text from a file of results for a cell: what Markdown or HTML would read becomes `?`."""
    return "".join(one if one.isprintable() and one not in "|<>`" else "?" for one in text)


def dated(note: str, version: str) -> str:
    """The note below a table of recorded figures, which begins with the version that they are of."""
    if version == VERSION:
        return f"Version {version}. {note}"
    major = version.partition(".")[0]
    return f"Figures of version {major} (recorded with {version}, and this is {VERSION}). {note}"

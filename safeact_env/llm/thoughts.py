"""Thoughts: what models write before their answer, and how it is told from the answer.

Owns the marks around thoughts. Must not know what an answer means.

Models and servers mark thoughts in many ways: `<think>` (DeepSeek, Qwen), `[THINK]` (Mistral), `<thought>`,
`<|begin_of_thought|>`, `<|START_THINKING|>` (Cohere), `◁think▷` (Kimi), the channels of gpt-oss (OpenAI's
"harmony response format") and of Gemma, a sentence (Granite), a fence. A chat template may write the opening
mark itself, so that an answer has the closing one only. A comment of HTML is no part of an answer either.
"""

import re

__all__ = ["without_thoughts"]

NAME = (
    r"(?:[a-z0-9]+[:._-])*"
    r"(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|monologue|cot)"
    r"(?:[._-][a-z0-9]+)*"
)
VALUES = r"""(?:[^<>"'\]▷]|"[^"]*"|'[^']*')*"""
"""Attributes of a mark. They may hold thoughts themselves."""
CHANNEL = r"<\|channel\|?>\s*(?P<channel>[a-z_]*)"
MARK = re.compile(
    rf"(?:(?:<|&lt;)[|\uff5c]?|\[|◁)\s*(?P<close>/\s*|end_(?:of_)?)?{NAME}(?![a-z0-9_-])"
    rf"(?:(?:\s{VALUES}?)?(?P<empty>/)?\s*[|\uff5c]?(?:[>\]▷]|&gt;))?"
    rf"|(?P<whole><!--(?s:.*?)(?:-->|\Z)|```\s*{NAME}\s*\n(?s:.*?)(?:```|\Z))"
    r"|<unused94>|here(?:'s| is) my thought process:"
    r"|(?P<shut><unused95>|here(?:'s| is) my response:)"
    rf"|(?:<\|start\|>\s*assistant\s*)?{CHANNEL}(?:[^<]*?(?:<\|constrain\|>[^<]*?)?<\|message\|>)?"
    r"|(?P<end><\|end\|>|<channel\|>)"
    r"|(?P<final>assistantfinal)",
    re.IGNORECASE,
)
"""A mark. One that is cut off in its attributes opens thoughts. `assistantfinal` is what is left of the last
channel where a server drops special tokens."""


def without_thoughts(text: str) -> str:
    """Return what an answer says besides its thoughts.

    Marks of all kinds are alike, and they nest. Whatever stands before a closing mark that was not opened is
    thought, and so is all that follows an opening mark that is not closed.
    """
    kept: list[str] = []
    depth = at = 0
    for mark in MARK.finditer(text):
        channel = (mark["channel"] or "").lower()
        if mark["end"] and not depth:
            # The end of a whole message, as some models write it.
            continue
        if not depth:
            kept.append(text[at : mark.start()])
        if mark["final"] or channel == "final":
            kept.clear()
            depth = 0
        elif mark["close"] or mark["shut"] or mark["end"]:
            if not depth:
                kept.clear()
            depth = max(depth - 1, 0)
        elif not (mark["empty"] or mark["whole"]):
            depth += 1
        at = mark.end()
    if not depth:
        kept.append(text[at:])
    return "".join(kept)

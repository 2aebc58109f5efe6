"""Runs pytest as a program and reads its report. Must not know what the tests are about."""

import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NOTHING_COLLECTED = 5
"""Exit code of pytest if it found no test."""
MOST_SAID = 500
"""Characters kept of a failure's message."""


@dataclass(frozen=True)
class Found:
    """The result of some tests.

    Attributes:
        passed: Tests that passed.
        skipped: Tests that were skipped.
        failed: Tests that failed, or why none ran.
    """

    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)


def run_tests(
    python: Path, options: Sequence[str], report: Path, env: Mapping[str, str], cwd: Path, timeout_s: float
) -> Found:
    """Run pytest with the packages of this Python.

    Args:
        python: The Python of an environment.
        options: What to run, and how.
        report: A new file for the report.
        env: The environment variables.
        cwd: The folder to run it in.
        timeout_s: Seconds after which it is killed with its children.
    """
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
    process = subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Found(failed=[f"the tests did not end within {timeout_s:.0f} s"])
    if not report.exists():
        return Found(failed=[f"the tests did not run: {said[-2_000:]}"])
    return _read(report, process.returncode, said)


def _read(report: Path, code: int, said: str) -> Found:
    cases = list(ET.parse(report).getroot().iter("testcase"))
    parts = ((case, case.find("failure"), case.find("error")) for case in cases)
    failed = [
        _failure(case, error if failure is None else failure)
        for case, failure, error in parts
        if failure is not None or error is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - skipped - len(failed)
    if code == NOTHING_COLLECTED:
        failed += [] if cases else ["there was no test to run"]
    elif code and not failed:
        failed.append(f"pytest ended with {code}: {said[-1_000:]}")
    return Found(passed, skipped, failed)


def _failure(case: ET.Element, part: ET.Element | None) -> str:
    """A failed test, and why it failed."""
    why = ("" if part is None else part.get("message") or "").strip()[:MOST_SAID]
    return f"{case.get('classname')}::{case.get('name')}" + (f"\n{why}" if why else "")

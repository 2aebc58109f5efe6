"""Fuzzes the API against its OpenAPI document with all checks of schemathesis.

Schemathesis runs in a throwaway environment of uv, on an open server and on one that needs a token. `CONFIG`
tells it, with reasons, what the document cannot.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from safeact_env.version import VERSION
from tools.servers.local_servers import Replica
from tools.servers.throwaway import UV

SCHEMATHESIS = "schemathesis>=4.10,<5"
TOKEN = "token-for-the-fuzzer"

CONFIG = """
# A body may be of the right shape and over the limit of bytes, which the document cannot tell.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]

# The only environment that there is.
[parameters]
env_name = "safeact"

# An index below 0, or beyond the end of its split.
[[operations]]
include-path = "/{env_name}/task"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 429, "5xx"]

# Schemathesis takes 2^63 + 191 for less than 2^63, as floating point does.
[[operations]]
include-path = ["/baseline", "/watch"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429, "5xx"]

# An index or a seed, not both; and a split has an end.
[[operations]]
include-path = "/reset"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429, "5xx"]

# An episode or a trajectory, not both; and an action after the end of an episode is no trajectory.
[[operations]]
include-path = "/grader"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429, "5xx"]
"""


def schemathesis(
    server: Replica, folder: Path, examples: int, seed: int, token: str | None
) -> dict[str, Any]:
    """Fuzz one server; the findings."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [str(UV), "tool", "run", "--from", SCHEMATHESIS, "schemathesis", "--config-file", str(config)]
    command += ["run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", str(examples)]
    command += ["--seed", str(seed), "--continue-on-failure", "--no-color", "--request-timeout", "60"]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    begin = time.monotonic()
    env = {**os.environ, "UV_SYSTEM_CERTS": "true", "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    said = done.stdout + done.stderr
    print(re.sub(r"(?m)^(.{400}).*$", r"\1 ...", said), flush=True)
    operations = re.search(r"Tested: (\d+)", said)
    cases = re.search(r"(\d+) generated", said)
    failures = re.search(r"(\d+) unique failures?", said)
    return {
        "passed": done.returncode == 0,
        "operations": int(operations[1]) if operations else 0,
        "cases": int(cases[1]) if cases else 0,
        "failures": int(failures[1]) if failures else 0,
        "seconds": round(time.monotonic() - begin, 1),
    }


def main(arguments: list[str]) -> int:
    """Fuzz both servers; the exit code is 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=60, help="largest number of examples per operation and phase"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write what was found as JSON")
    options = parser.parse_args(arguments)
    found = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        for title, token in (("open", None), ("with a token", TOKEN)):
            if token is not None:
                os.environ["SAFEACT_API_TOKEN"] = token
            folder = Path(name) / title.split()[0]
            folder.mkdir()
            with Replica("memory", folder / "log", "--drain-seconds", "0") as server:
                found[title] = schemathesis(server, folder, options.examples, options.seed, token)
            os.environ.pop("SAFEACT_API_TOKEN", None)
            if "Traceback" in (log := (folder / "log").read_text()):
                print(log[log.index("Traceback") :][:4_000])
                found[title]["passed"] = False
    if options.json:
        recorded = {"version": VERSION, "seed": options.seed, "examples": options.examples, "servers": found}
        Path(options.json).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    for title, one in found.items():
        print(f"{title}: {one}")
    return 0 if all(one["passed"] and one["operations"] for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

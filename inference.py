"""Plays a model, or a reference policy, and prints a line per step: `python inference.py --help`.

The program is `safeact_env.cli.inference`.
"""

from __future__ import annotations

from safeact_env.cli.inference import main

if __name__ == "__main__":
    main()

"""`python -m safeact_env` is `safeact`."""

from safeact_env.cli import main

if __name__ == "__main__":
    main()

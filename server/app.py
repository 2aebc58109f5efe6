"""`server.app:app` and `main()`, for OpenEnv's own tools."""

from safeact_env.cli.serve import command
from safeact_env.server.app import create_app

__all__ = ["app", "main"]

app = create_app()


def main() -> None:
    """Serve with the settings in the environment, or in the options of `safeact serve`, such as `--port`."""
    command()(prog_name="server")


if __name__ == "__main__":
    main()

"""`server.app:app` and `main()`, for OpenEnv's own tools."""

from safeact_env.server.app import create_app
from safeact_env.server.main import serve
from safeact_env.server.settings import Settings

__all__ = ["app", "main"]

app = create_app()


def main() -> None:
    """Serve with the settings in the environment."""
    serve(Settings())


if __name__ == "__main__":
    main()

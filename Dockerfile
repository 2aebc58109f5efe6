FROM python:3.11-slim AS dependencies

# strip takes the debugging symbols out of compiled modules. It stays in this stage, so any version will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true \
    VIRTUAL_ENV=/app/.venv
WORKDIR /app

# Extras of the project to install, by their names in pyproject.toml.
ARG EXTRAS=""
# `true` installs all locked packages, for OpenEnv's page at /web. Otherwise LEFT_OUT and what only they need stay
# out: nothing else imports them (tests/tools/test_image.py).
ARG ENABLE_WEB_INTERFACE=false
ARG LEFT_OUT="cryptography gradio hf-xet"

# The dependencies change less often than the code: a layer of their own. With the page the symbols stay, since the
# libraries of numpy and pillow do not survive strip.
COPY pyproject.toml uv.lock ./
RUN set -eu; \
    uv_version=$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p}' uv.lock); \
    pip install --no-cache-dir --root-user-action=ignore "uv==$uv_version"; \
    for name in $EXTRAS; do set -- "$@" --extra "$name"; done; \
    if [ "$ENABLE_WEB_INTERFACE" != true ]; then for name in $LEFT_OUT; do set -- "$@" --prune "$name"; done; fi; \
    uv export --quiet --frozen --no-emit-project "$@" --output-file /tmp/requirements.txt; \
    uv venv "$VIRTUAL_ENV"; \
    uv pip install --no-deps --require-hashes --requirement /tmp/requirements.txt; \
    rm -f "$VIRTUAL_ENV/.lock"; \
    if [ "$ENABLE_WEB_INTERFACE" != true ]; then find "$VIRTUAL_ENV" -name '*.so' -exec strip --strip-debug {} +; fi


FROM dependencies AS build

# The project apart from its dependencies: a change of the code is a small layer.
COPY . .
RUN uv pip install --no-deps --prefix /project . \
    && rm -f /project/.lock \
    && cp -a /project/. "$VIRTUAL_ENV" \
    && PYTHONPYCACHEPREFIX=/app/bytecode "$VIRTUAL_ENV/bin/python" tools/bytecode.py safeact_env server


FROM python:3.11-slim

LABEL org.opencontainers.image.title="SafeAct-Env" \
      org.opencontainers.image.description="OpenEnv server: telling reversible actions from irreversible ones before executing them" \
      org.opencontainers.image.version="2.0.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim"

RUN useradd --uid 1000 --home-dir /app --no-log-init safeact \
    && pip uninstall --yes --quiet --root-user-action=ignore wheel setuptools pip \
    && rm -rf /usr/local/lib/python3.11/ensurepip
WORKDIR /app
COPY --from=dependencies /app/.venv .venv
COPY --from=build /project .venv
COPY --from=build /app/bytecode bytecode
COPY openenv.yaml README.md ./

# The server writes nothing at run time. The page at /web is on only in an image that was built for it. Spaces use
# port 7860, OpenEnv's docker provider 8000.
ARG ENABLE_WEB_INTERFACE=false
ENV PATH=/app/.venv/bin:$PATH \
    ENABLE_WEB_INTERFACE=$ENABLE_WEB_INTERFACE \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/app/bytecode \
    PYTHONUNBUFFERED=1 \
    SAFEACT_HOST=0.0.0.0 \
    SAFEACT_PORT=7860 \
    SAFEACT_ALSO_PORT=8000
USER 1000:1000
EXPOSE 7860 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['SAFEACT_PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]

CMD ["safeact", "serve"]

FROM python:3.11-slim AS build

RUN pip install --no-cache-dir uv
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true
WORKDIR /app

# The dependencies change less often than the code: a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-cache --no-install-project

COPY . .
RUN uv sync --frozen --no-cache --no-editable


FROM python:3.11-slim

RUN useradd --create-home --uid 1000 safeact
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY openenv.yaml ./

ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER safeact
EXPOSE 7860

HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]

CMD ["safeact", "serve", "--host", "0.0.0.0", "--port", "7860"]

# One image for both services, the local exchange and the command line. Everything in it is named by hash in
# requirements/; nothing is compiled. Python 3.11 or newer.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /source
RUN python3 -m venv /opt/bridge
COPY requirements/runtime.txt requirements/dev.txt requirements/
# Dependencies before our own code: they change seldom, so this layer is kept.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/bridge/bin/pip install --no-deps --only-binary :all: --require-hashes -r requirements/runtime.txt
COPY pyproject.toml LICENSE README* ./
COPY services services
COPY shared shared
COPY sql sql
# Our wheel is built with the setuptools that requirements/dev.txt pins, in an environment that stays behind.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/wheel \
    && sed -n '/^setuptools==/,/^ *# via/p' requirements/dev.txt > /opt/wheel/requirements.txt \
    && /opt/wheel/bin/pip install --no-deps --only-binary :all: --require-hashes -r /opt/wheel/requirements.txt \
    && /opt/wheel/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel . \
    && /opt/bridge/bin/pip install --no-deps --no-index /opt/wheel/*.whl \
    && /opt/bridge/bin/pip uninstall --yes pip

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="order-execution-bridge" \
      org.opencontainers.image.description="Carries pending orders from a trading bot's Postgres to Binance, exactly once" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/bridge /opt/bridge
# PYTHONDONTWRITEBYTECODE: the root file system is read-only, and pip has compiled what there is.
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BRIDGE_METRICS_HOST=0.0.0.0 \
    BRIDGE_METRICS_PORT=9464
# By number, so that Kubernetes can check runAsNonRoot; nothing in the image belongs to it.
USER 10001:10001
WORKDIR /tmp
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"BRIDGE_METRICS_PORT\"]}/healthz', timeout=3)"]
CMD ["bridge", "--help"]

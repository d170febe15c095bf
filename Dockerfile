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
COPY deploy/healthy.py /opt/bridge/
# Base images leave out the standard library's bytecode, and the root file system is read-only: every start would compile
# it again, for nothing. One import of everything writes what is needed; of the packages pip has written it.
RUN /opt/bridge/bin/python -c "import services.order_executor.executor, services.fill_listener.markets, \
    services.local_exchange.server, services.command_line.__main__, shared.service, encodings.idna"
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
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/bridge/healthy.py"]
CMD ["bridge", "--help"]

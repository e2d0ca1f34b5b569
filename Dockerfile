# docker build --tag skein .
# docker run --publish 4000:4000 --env OPENAI_API_KEY --volume "$PWD/skein.yaml:/etc/skein/skein.yaml:ro" skein
#
# A container is reached from outside itself, so skein.yaml has to listen beyond loopback and say who may call:
#   server: {host: 0.0.0.0}
#   access: {mode: keys, keys: [{name: me, key: "${SKEIN_KEY}"}]}
# (with --env SKEIN_KEY), or `access: {mode: trusted}` behind something that authenticates.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/skein
# With every extra: whoever runs an image cannot install what signs in with a cloud's identity.
COPY requirements-image.lock requirements-build.lock ./
RUN python -m pip --python /opt/skein/bin/python install --require-hashes --requirement requirements-image.lock
RUN python -m pip install --require-hashes --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN python -m pip --python /opt/skein/bin/python install --no-deps --no-index --find-links dist skein-gateway

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Skein" \
      org.opencontainers.image.description="Observability-first LLM gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/skein /opt/skein
ENV PATH=/opt/skein/bin:$PATH PYTHONUNBUFFERED=1 SKEIN_CONFIG=/etc/skein/skein.yaml
WORKDIR /tmp
USER 10001:10001
EXPOSE 4000
STOPSIGNAL SIGTERM
# Liveness of this process alone: a vendor's outage must not restart the gateway.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 4000, timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["skein"]
CMD ["serve"]

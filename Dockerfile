# Earmark's sidecar. Both stages install the releases of constraints.txt, the ones that are tested.
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/earmark
# The dependencies first: they change less often than the code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p src/earmark proto/earmark && touch src/earmark/__init__.py \
    && /opt/earmark/bin/pip install --constraint constraints.txt '.[embedded,postgres]' \
    && /opt/earmark/bin/pip uninstall --yes earmark
COPY proto proto
COPY src src
RUN python -m pip wheel --no-deps --wheel-dir /wheels . \
    && /opt/earmark/bin/pip install --no-deps /wheels/*.whl


FROM python:3.11-slim-bookworm

RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin earmark \
    && install --directory --owner=earmark --group=earmark /data
COPY --from=build /opt/earmark /opt/earmark
ENV PATH=/opt/earmark/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EARMARK_DATA_DIR=/data \
    EARMARK_LOG_FORMAT=json
USER earmark
VOLUME /data
EXPOSE 7070
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["earmark", "health"]
# No migration here: a store is shared by sidecars of two releases while one replaces the other, so its upgrade is a
# step of its own (`earmark db upgrade`), taken once and on purpose. A sidecar on a store that is too old says so.
# Nor does the image listen beyond its own loopback: whoever publishes the port says --listen and --allow-insecure.
ENTRYPOINT ["earmark"]
CMD ["serve"]

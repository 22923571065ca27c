# One image for every role; the command chooses: `serve` (the default) or `worker`. With --build-arg REQUIREMENTS=cuda13 it
# carries CuPy and CUDA's libraries too, for `worker --device cuda:0`; the machine brings the driver.
FROM python:3.13-slim AS build

ARG REQUIREMENTS=runtime
WORKDIR /build
RUN python -m venv /opt/foretell
COPY requirements/runtime.txt requirements/cuda13.txt requirements/
RUN /opt/foretell/bin/pip install --no-cache-dir --require-hashes -r requirements/${REQUIREMENTS}.txt
COPY pyproject.toml README.md LICENSE ./
COPY api_schemas api_schemas
COPY theory theory
COPY simulation simulation
COPY workers workers
COPY service service
RUN /opt/foretell/bin/pip install --no-cache-dir --no-deps --no-build-isolation .


FROM python:3.13-slim

RUN useradd --system --uid 10001 --user-group --no-create-home foretell \
    && install --directory --owner=foretell --group=foretell --mode=0700 /var/lib/foretell /var/lib/foretell/datasets
COPY --from=build /opt/foretell /opt/foretell
ENV PATH=/opt/foretell/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    FORETELL_HOST=0.0.0.0 \
    FORETELL_PORT=8000 \
    FORETELL_DATA_DIR=/var/lib/foretell \
    FORETELL_LOG_FORMAT=json
USER foretell
WORKDIR /var/lib/foretell
VOLUME /var/lib/foretell
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"FORETELL_PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["foretell"]
CMD ["serve"]

# One image for the service, the flows, MLflow and Prefect: the same lock everywhere.
FROM python:3.12-slim-bookworm

RUN useradd --create-home --uid 10001 --user-group forewarn
WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
# pip compiles what it installs. A container has a read-only file system and could not do so later.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY core core
COPY features features
COPY models models
COPY pipelines pipelines
COPY serving serving
COPY flows flows
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable .
RUN python -m compileall -q core features models pipelines serving flows
RUN mkdir -p data mlruns && chown forewarn:forewarn data mlruns
# By number: Kubernetes can then check that it is not root.
USER 10001:10001
# Libraries keep caches in the home folder. /tmp can be written also where the file system is read-only.
ENV HOME=/tmp MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 BENTOML_DO_NOT_TRACK=True \
    PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui
ENTRYPOINT ["forewarn"]
# All addresses of the container. Set FOREWARN_PUBLIC_URL to the address that people open: alerts link to it.
CMD ["serve", "--host", "0.0.0.0"]

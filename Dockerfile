# One image for the service, the flows, MLflow and Prefect: the same lock everywhere.
FROM python:3.12-slim-bookworm

RUN useradd --create-home --uid 10001 forewarn
WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY core core
COPY features features
COPY models models
COPY pipelines pipelines
COPY serving serving
COPY flows flows
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && mkdir -p /app/data /app/mlruns && chown forewarn /app/data /app/mlruns \
    && python -m compileall -q /usr/local/lib/python3.12/site-packages || true
USER forewarn
ENV MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 BENTOML_DO_NOT_TRACK=True \
    PREFECT_SERVER_ANALYTICS_ENABLED=false FOREWARN_SERVE_HOST=0.0.0.0
ENTRYPOINT ["forewarn"]
CMD ["serve"]

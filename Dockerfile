# syntax=docker/dockerfile:1
# The server as a container: docs/server.md#container. TORCH=cpu, or cuda for NVIDIA GPUs (run with --gpus all).
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH=cpu
ENV PATH=/opt/avatargpt/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /opt/avatargpt
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md ./
COPY configs configs
COPY eval/suites eval/suites
COPY vqvae vqvae
COPY instruct_data instruct_data
COPY avatargpt avatargpt
# The index of torch holds builds without CUDA, gigabytes smaller; PyPI's are those with it.
RUN case "$TORCH" in \
        cpu) export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu ;; \
        cuda) ;; \
        *) echo "TORCH=$TORCH; accepted cpu, cuda" >&2; exit 1 ;; \
    esac && \
    pip install --constraint constraints.txt ".[serve,video]"

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="AvatarGPT" org.opencontainers.image.licenses="MIT AND CC-BY-NC-4.0"
RUN groupadd --gid 10001 avatargpt && \
    useradd --uid 10001 --gid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin avatargpt
COPY --from=build /opt/avatargpt /opt/avatargpt
# Nothing is written outside of /data and /tmp, so that the root may be read-only.
ENV PATH=/opt/avatargpt/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/data XDG_CACHE_HOME=/data/cache TMPDIR=/tmp
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["avatargpt", "serve", "--host", "0.0.0.0", "--port", "8765", "--store", "/data/store"]

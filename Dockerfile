# Two stages: what builds softgate stays in the first; the second holds what runs it, and no more.
#
#     docker build --tag softgate .
#     docker run --rm --publish 127.0.0.1:8080:8080 --env SOFTGATE_ALLOW_PUBLIC=true \
#         --volume "$PWD/models:/models:ro" softgate
#
# In the container softgate listens on every address, so it wants tokens, SOFTGATE_TOKENS_FILE, or to be told that
# something else keeps strangers out: here that the port is published on loopback alone.
#
# podman builds it too; `podman build --format docker` keeps HEALTHCHECK, which the OCI format does not know.
#
# Both stages need one base: a virtual environment points to the interpreter it was made with. It is pinned by tag, not
# by digest, because none could be looked up and checked; a deployment that wants one says
# --build-arg PYTHON_IMAGE=python:3.11-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-trixie

FROM ${PYTHON_IMAGE} AS build

# No cache, which the layer would only carry along, and no question about a newer pip.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build

# What makes machine code of the hot path needs a C compiler, whichever the base has packages of.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# The dependencies come first: their layer is made again only when the lock files change.
COPY requirements.txt requirements-compile.txt ./
# Without pip: a service has nothing to install. The base image's pip fills the environment from outside.
RUN python -m venv --without-pip /venv \
    && pip --python /venv install --require-hashes --requirement requirements.txt \
    && pip --python /venv install --require-hashes --requirement requirements-compile.txt

COPY LICENSE README.md hatch_build.py pyproject.toml ./
COPY service ./service
# The lock files hold what builds and compiles as well, so this step fetches nothing. Both leave when their work is
# done; the last two commands fail the build if what stays needs what left, or does not start.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=true \
        pip --python /venv wheel --no-index --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /venv install --no-index --no-deps dist/*.whl \
    && pip --python /venv uninstall --yes hatchling editables pathspec pluggy tomlkit trove-classifiers \
        mypy mypy-extensions librt ast-serialize setuptools \
    && pip --python /venv check \
    && /venv/bin/softgate --version


FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="softgate" \
    org.opencontainers.image.description="Serves ONNX classifiers: calibrated probabilities, routing decisions, drift metrics" \
    org.opencontainers.image.licenses="Apache-2.0"

# Owned by root and run by another: the service cannot change its own code or models.
COPY --from=build /venv /venv
COPY models /models
# Empty, for a volume: a named one takes over its owner. Nothing is written there unless SOFTGATE_STATE_DIR says so.
RUN install -d -o 65532 -g 65532 /state

ENV PATH=/venv/bin:$PATH
# pip has compiled every module, and the file system may be read-only: nothing is to be written at run time.
ENV PYTHONDONTWRITEBYTECODE=1
# A crash inside a native library leaves a Python traceback on standard error instead of nothing.
ENV PYTHONFAULTHANDLER=1
# The default, loopback, is out of reach from outside the container; what may reach it is the publisher's choice.
ENV SOFTGATE_HOST=0.0.0.0
# Logs are read by machines here, even where `docker run --tty` gives the process a terminal.
ENV SOFTGATE_LOG_FORMAT=json

# A number, because Kubernetes' runAsNonRoot cannot check a name; 65532 is nobody else's in the base image.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM

# A check starts an interpreter, hence not more often. Models may take the start period to load and warm up.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["softgate", "health"]

ENTRYPOINT ["softgate"]
CMD ["serve", "/models"]

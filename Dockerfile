# Two images from one build:
#   docker build --target operator -t reverse-etl-operator .
#   docker build --target runner -t reverse-etl-runner .
# Both run as user 10001 on a read-only root file system. They share their lowest layer, and the requirements are a layer
# of their own, so that a new version of the project costs a registry and a node only the few megabytes that changed.
# The base is any Debian with Python, venv and pip; to have it the same each time, name it by its digest:
#   --build-arg BASE_IMAGE=python@sha256:...
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS venv
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN ["python3", "-m", "venv", "--without-pip", "/opt/retl"]

FROM venv AS project
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN ["pip", "--python", "/opt/retl/bin/python", "install", "--no-deps", "--prefix", "/project", "."]

FROM venv AS operator-requirements
COPY requirements/operator.txt .
RUN ["pip", "--python", "/opt/retl/bin/python", "install", "--no-deps", "--only-binary=:all:", "-r", "operator.txt"]

FROM venv AS runner-requirements
COPY requirements/runner.txt .
RUN ["pip", "--python", "/opt/retl/bin/python", "install", "--no-deps", "--only-binary=:all:", "-r", "runner.txt"]
# Of pyarrow: what it is tested and compiled with, a protocol that no source or destination speaks, and a client of S3 of
# its own, beside the one that snapshots and buckets use.
RUN cd /opt/retl/lib/python3*/site-packages/pyarrow && rm -rf tests include includes src \
  libarrow_flight.so* libarrow_python_flight.so* _flight.*.so libarrow_s3.so* _s3fs.*.so

FROM ${BASE_IMAGE} AS bare
# Nothing is left that installs Python packages or compiles; apt and dpkg stay, which only root can use. What a base image
# has of the former would stay in its layers, so they are not built upon.
RUN dpkg-query --show --showformat '${Package}\n' | grep -E '^python3.*-(packaging|pip|pip-whl|setuptools-whl|venv|wheel)$' \
  | xargs --no-run-if-empty dpkg --purge --force-depends \
  && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/include
RUN ["useradd", "--uid", "10001", "--user-group", "--no-create-home", "--home-dir", "/tmp", "--shell", "/usr/sbin/nologin", "retl"]

FROM scratch AS runtime
COPY --from=bare / /
# /tmp is where a pod that needs scratch space mounts an emptyDir; nothing else is ever written to.
ENV PATH=/opt/retl/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["retl"]
CMD ["--help"]

FROM runtime AS runner
COPY --from=runner-requirements /opt/retl /opt/retl
COPY --from=project /project /opt/retl
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="reverse-etl-runner" \
  org.opencontainers.image.description="Executes one run of a sync: warehouse rows into a destination" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"

FROM runtime AS operator
COPY --from=operator-requirements /opt/retl /opt/retl
COPY --from=project /project /opt/retl
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="reverse-etl-operator" \
  org.opencontainers.image.description="Reverse ETL as Kubernetes resources: controller and API" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"

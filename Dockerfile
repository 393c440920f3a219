# The image of Arke: `docker build -t arke .`. Nothing is fetched but what requirements/ pins by hash.
# BASE is the Python that the tests run on; pin it by digest where you build: --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv /build/tools \
 && /build/tools/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt \
 && python -m venv --without-pip /opt/arke \
 && /build/tools/bin/python -m pip --python /opt/arke/bin/python install \
      --require-hashes --only-binary :all: -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/tools/bin/python -m hatchling build -t wheel -d /build/dist \
 && /build/tools/bin/python -m pip --python /opt/arke/bin/python install --no-deps /build/dist/*.whl

FROM ${BASE}
# Nothing here builds or installs any more.
RUN python -m pip uninstall -y pip setuptools wheel \
 && groupadd --gid 10001 arke \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin arke \
 && install -d -o arke -g arke -m 0700 /data
COPY --from=build /opt/arke /opt/arke
# The data directory is a folder that Arke makes in the volume: the mode of the volume itself may be anybody's choice.
# Only inside the container are all its addresses listened at: who reaches them is what is published.
ENV PATH=/opt/arke/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ARKE_DATA=/data/arke \
    ARKE_SERVER_INTAKE=0.0.0.0:8080 \
    ARKE_SERVER_ADMIN=0.0.0.0:8081
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python", "-I", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8081/healthz', timeout=4)"]
ENTRYPOINT ["arke"]
CMD ["up"]

# callsieve in a container: the first stage builds a wheel, the second has Python, the wheel's files and nothing to build with.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/callsieve
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY engine engine
COPY proxy proxy
RUN /opt/build/bin/pip wheel --no-cache-dir --wheel-dir /wheels .
RUN /opt/build/bin/pip --python /opt/callsieve/bin/python install --no-index --find-links /wheels callsieve

FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin callsieve \
    && install -d -o callsieve -g callsieve -m 750 /var/lib/callsieve
COPY --from=build /opt/callsieve /opt/callsieve
COPY conf /etc/callsieve/examples
COPY conf/compose/callsieve.toml /etc/callsieve/callsieve.toml
ENV PATH=/opt/callsieve/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/callsieve
VOLUME /var/lib/callsieve
USER callsieve
EXPOSE 5060/udp 9060/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["callsieve", "status", "--config", "/etc/callsieve/callsieve.toml"]
ENTRYPOINT ["callsieve"]
CMD ["run", "--config", "/etc/callsieve/callsieve.toml"]

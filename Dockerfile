# docker build -t redis-inventory .
# docker run --rm -p 127.0.0.1:6379:6379 -v inventory:/data redis-inventory
#
# compose.yaml has a replica and an exporter for Prometheus beside it.

FROM rust:bookworm AS build
# bindgen reads the module API's header with libclang.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked

# Its C library is not older than the build's (Debian bookworm's): the module would not load otherwise.
FROM valkey/valkey:9.1 AS server
COPY --from=build /build/target/release/libredis_inventory.so /image/usr/local/lib/redis-inventory/inv.so
COPY redis.conf /image/usr/local/etc/redis-inventory/redis.conf
# The programs, and with them and the module the libraries that the loader names, each where it looks for it.
RUN mkdir -p /image/usr/local/bin \
    && cp -L "$(command -v valkey-server)" "$(command -v valkey-cli)" /image/usr/local/bin/ \
    && ldd /image/usr/local/bin/* /image/usr/local/lib/redis-inventory/inv.so \
        | grep -oE '/[^ :]+\.so[^ :]*' | grep -v '^/image/' | sort -u | xargs cp -L --parents -t /image

# What only a debugger reads is most of their size. There is a strip where there is a compiler.
FROM build AS image
COPY --from=server /image /image
RUN strip /image/usr/local/bin/* /image/usr/local/lib/redis-inventory/inv.so \
    && chmod -R a+rX /image \
    && install -d -m 1777 /volume/data

# Nothing else: no shell, no other program.
FROM scratch
COPY --from=image /image /
COPY --from=image --chown=999:999 /volume /
ENV PATH=/usr/local/bin
# The number that the server's official images use for it, so that a volume of theirs can be taken over.
USER 999:999
WORKDIR /data
VOLUME /data
EXPOSE 6379
# Where a password is set, the check reads it from the environment: -e REDISCLI_AUTH=...
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["valkey-cli", "-e", "ping"]
# A container has a network of its own, in which loopback alone reaches nobody: who may connect is decided by what is
# published (-p). Beyond this machine, set a password too: append --requirepass to the command.
ENTRYPOINT ["valkey-server", "/usr/local/etc/redis-inventory/redis.conf", \
            "--loadmodule", "/usr/local/lib/redis-inventory/inv.so", \
            "--dir", "/data", "--bind", "*", "--protected-mode", "no"]

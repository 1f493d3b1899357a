# docker build -t redis-inventory .
# docker run --rm -p 127.0.0.1:6379:6379 -v inventory:/data redis-inventory

FROM rust:bookworm AS build
# bindgen reads the module API's header with libclang.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked

# Its C library is not older than the build's: the module would not load otherwise.
FROM valkey/valkey:8.1
COPY --from=build /build/target/release/libredis_inventory.so /usr/local/lib/redis-inventory/inv.so
COPY redis.conf /usr/local/etc/redis-inventory/redis.conf
# The image's own user and folder of data.
USER valkey
WORKDIR /data
VOLUME /data
EXPOSE 6379
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD valkey-cli ping | grep -Eq '^(PONG|NOAUTH)'
# A container has a network of its own, in which loopback alone reaches nobody: who may connect is decided by what is
# published (-p). Beyond this machine, set a password too: append --requirepass to the command.
ENTRYPOINT ["valkey-server", "/usr/local/etc/redis-inventory/redis.conf", \
            "--loadmodule", "/usr/local/lib/redis-inventory/inv.so", \
            "--dir", "/data", "--bind", "*", "--protected-mode", "no"]

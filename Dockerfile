# docker build -t redis-inventory .
# docker run --rm -p 127.0.0.1:6379:6379 -v inventory:/data redis-inventory
#
# compose.yaml adds a replica and a Prometheus exporter. Two more targets add the module to an official image:
#
# docker build -t redis-inventory:on-valkey --target on-valkey .
# docker build -t redis-inventory:on-redis --target on-redis .

FROM rust:bookworm AS build
# bindgen reads the header of the module API with libclang.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked

# What the images that are made of official ones get, in one layer.
FROM build AS layer
RUN install -D -m 755 target/release/libredis_inventory.so /layer/usr/lib/redis-inventory/libredis_inventory.so \
    && strip /layer/usr/lib/redis-inventory/libredis_inventory.so \
    && install -D -m 644 redis.conf /layer/usr/local/etc/redis-inventory/redis.conf

# The official images have a shell. Their entry points start the server as its own user, and own the folder /data.
FROM redis:8.2 AS on-redis
COPY --from=layer /layer /
CMD ["redis-server", "/usr/local/etc/redis-inventory/redis.conf", \
     "--loadmodule", "/usr/lib/redis-inventory/libredis_inventory.so", \
     "--dir", "/data", "--bind", "*", "--protected-mode", "no"]

FROM valkey/valkey:9.1 AS on-valkey
COPY --from=layer /layer /
CMD ["valkey-server", "/usr/local/etc/redis-inventory/redis.conf", \
     "--loadmodule", "/usr/lib/redis-inventory/libredis_inventory.so", \
     "--dir", "/data", "--bind", "*", "--protected-mode", "no"]

# The server image must not have an older C library than the build image (Debian bookworm), or the module would not load.
FROM valkey/valkey:9.1 AS server
COPY --from=build /build/target/release/libredis_inventory.so /image/usr/lib/redis-inventory/libredis_inventory.so
COPY redis.conf /image/usr/local/etc/redis-inventory/redis.conf
# Copies the programs, and the libraries that they and the module need, to the paths where the loader looks for them.
RUN mkdir -p /image/usr/local/bin \
    && cp -L "$(command -v valkey-server)" "$(command -v valkey-cli)" /image/usr/local/bin/ \
    && ldd /image/usr/local/bin/* /image/usr/lib/redis-inventory/libredis_inventory.so \
        | grep -oE '/[^ :]+\.so[^ :]*' | grep -v '^/image/' | sort -u | xargs cp -L --parents -t /image

# Debug information takes most of the space. strip comes with the compiler, in the build image.
FROM build AS image
COPY --from=server /image /image
RUN strip /image/usr/local/bin/* /image/usr/lib/redis-inventory/libredis_inventory.so \
    && chmod -R a+rX /image \
    && install -d -m 1777 /volume/data

# The final image has nothing else: no shell and no other program.
FROM scratch
COPY --from=image /image /
COPY --from=image --chown=999:999 /volume /
ENV PATH=/usr/local/bin
# The official images use the same user id, so a volume of theirs can be reused.
USER 999:999
WORKDIR /data
VOLUME /data
EXPOSE 6379
# If a password is set, the check reads it from the environment: -e REDISCLI_AUTH=...
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["valkey-cli", "-e", "ping"]
# Inside the container, loopback alone would reach nobody. Publishing the port (-p) decides who can connect. If other machines can
# connect, also set a password: append --requirepass to the command.
ENTRYPOINT ["valkey-server", "/usr/local/etc/redis-inventory/redis.conf", \
            "--loadmodule", "/usr/lib/redis-inventory/libredis_inventory.so", \
            "--dir", "/data", "--bind", "*", "--protected-mode", "no"]

# What a newcomer types. The work is done by scripts/.

# The first port of make cluster; make cluster PORT=8001 says it too.
CLUSTER_PORT ?= $(if $(filter command,$(origin PORT)),$(PORT),7001)
PORT ?= 6379
SERVER ?=
FRESH ?=
export PORT CLUSTER_PORT SERVER FRESH
# Of the environment INV_URL alone is taken: a URL there may be anything.
WATCH_URL = $(if $(filter command,$(origin URL)),$$URL,$${INV_URL:-redis://127.0.0.1:$$PORT})
WATCH_BUILT = $${CARGO_TARGET_DIR:-target}/debug/examples/watch

.DEFAULT_GOAL := help
.PHONY: $(shell awk -F: '/^[a-z-]+:/ {print $$1}' $(firstword $(MAKEFILE_LIST)))

help: ## this list
	@awk -F ':.*## ' '/^## / {print "\n" substr($$0, 4) "\n"} \
	    /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PORT=6390 chooses another port, SERVER=/path/to/valkey-server another server."

## To use it

run: ## a server with the module, in the foreground on PORT; FRESH=1 begins without the data of earlier runs
	@scripts/run.sh

cli: ## a prompt on the server at PORT
	@scripts/cli.sh

demo: ## a flash sale of 100 UNITS to 2,000 SHOPPERS: by a counter, by Lua scripts, by the module
	@scripts/demo.sh

watch: ## the stock at PORT or URL, live; ARGS="PROD-1"; a password: INV_URL='redis://…'
	@[ -e "$(WATCH_BUILT)" ] || echo "building; the first time this takes a minute or two" >&2
	@export INV_URL="$(WATCH_URL)"; \
	    if [ -n "$$INV_WATCH" ]; then exec "$$INV_WATCH" $(ARGS); else exec scripts/cargo.sh run --example watch -- $(ARGS); fi

cluster: ## three masters and three replicas with the module, in the background, from port 7001
	@scripts/cluster.sh start

cluster-stop: ## ends those six; their data stay
	@scripts/cluster.sh stop

build: ## the release module, in target/release
	@scripts/cargo.sh build --release

dist: ## the package, in target/dist: the module, documents, checksums; tried on a server
	@scripts/dist.sh

## To work on it

test: ## all tests, on SERVER or the server that is found; ARGS="expiry::" for those with this in their names
	@scripts/test.sh $(ARGS)

servers: ## fetches Redis 8.0, 8.2 and Valkey 8.0, 8.1, 9.1 into .servers
	@scripts/get-servers.sh

test-all: ## the server tests on each of those servers; tests that do not depend on the server run in make test
	@scripts/test-all.sh

test-clients: ## the programs of docs/clients.md, on SERVER or one that is found; libraries go into .deps
	@scripts/test-clients.sh

test-monitoring: ## the alerts, the dashboard and the scrape, with Debian's exporter and Prometheus
	@scripts/test-monitoring.sh

simulate: ## random worlds in which everything fails, no server; WORLDS=1000000, SEED=7 to begin there
	@WORLDS=$(WORLDS) SEED=$(SEED) scripts/simulate.sh

soak: ## an hour of load, kills, pauses, failovers, full memory, with a report; LENGTH=600 for seconds
	@LENGTH=$(LENGTH) scripts/soak.sh

crash: ## load, kill -9, restart, audit: 200 rounds, with progress
	@scripts/crash.sh

memcheck: ## 100,000 operations of each command under valgrind; ARGS="--quick", "--tests flow::", "--asan"
	@scripts/memcheck.sh $(ARGS)

audit: ## advisories, licences and sources of the libraries, with cargo-deny
	@scripts/audit.sh

fuzz: ## each fuzz target for INV_FUZZ_SECONDS (600), with progress; first it builds cargo-fuzz
	@scripts/fuzz.sh

mutants: ## whether tests notice changes of the rules, with cargo-mutants; hours; ARGS="--shard 0/8" for a part
	@scripts/mutants.sh $(ARGS)

oldest-rust: ## builds the module with the oldest Rust that it promises, fetched by rustup
	@scripts/oldest-rust.sh

lint: ## format, clippy, rustdoc, shellcheck, ruff, typos
	@scripts/lint.sh

bench: ## the module against its rivals, on SERVER or the server that is found; ARGS="--rounds 5"
	@scripts/bench.sh throughput $(ARGS)

bench-cluster: ## the module in clusters of 1 to 3 masters, on SERVER or the server that is found
	@scripts/bench.sh cluster $(ARGS)

bench-decision: ## what a decision costs, without a server
	@scripts/cargo.sh bench --bench decision

bench-instructions: ## instructions of each command, by valgrind: to compare two commits
	@scripts/bench-instructions.sh

bench-expiry: ## how soon units come back, on SERVER or the server that is found; ARGS="--rounds 5"
	@scripts/bench.sh expiry $(ARGS)

bench-growth: ## how cost and memory grow with the data, on SERVER or the server that is found
	@scripts/bench.sh growth

bench-readers: ## what INV.ALERTS and INV.STOCK cost on a large stock, on SERVER or the server that is found
	@scripts/bench.sh readers

bench-worst: ## how long the worst requests keep the server, on SERVER or the server that is found
	@scripts/bench.sh worst

clean: ## removes what was built; what was fetched and data stay
	@rm -rf target

# The entry points for people. The work is done by scripts/.

# The first port of make cluster. PORT, if given on the command line, overrides it.
CLUSTER_PORT ?= $(if $(filter command,$(origin PORT)),$(PORT),7001)
PORT ?= 6379
SERVER ?=
FRESH ?=
export PORT CLUSTER_PORT SERVER FRESH
# From the environment only INV_URL is used: a variable named URL may mean anything there.
WATCH_URL = $(if $(filter command,$(origin URL)),$$URL,$${INV_URL:-redis://127.0.0.1:$$PORT})

.DEFAULT_GOAL := help
.PHONY: $(shell awk -F: '/^[a-z-]+:/ {print $$1}' $(firstword $(MAKEFILE_LIST)))

help: ## print this list
	@awk -F ':.*## ' '/^## / {print "\n" substr($$0, 4) "\n"} \
	    /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PORT=6390 chooses another port, SERVER=/path/to/valkey-server another server."

## Use the module

run: ## start a server with the module in the foreground, on PORT; FRESH=1 starts without earlier data
	@scripts/run.sh

cli: ## open a prompt on the server at PORT
	@scripts/cli.sh

demo: ## sell 100 UNITS to 2,000 SHOPPERS in a flash sale: with a counter, Lua scripts, the module
	@scripts/demo.sh

shop: ## run a shop with orders in PostgreSQL and stock here, while everything fails; ORDERS=500
	@scripts/shop.sh

watch: ## show live stock of PORT or URL; ARGS="PROD-1"; with a password: INV_URL='redis://…'
	@export INV_URL="$(WATCH_URL)"; exec scripts/inv.sh watch $(ARGS)

cluster: ## start three masters and three replicas with the module in the background, from port 7001
	@scripts/cluster.sh start

cluster-stop: ## end those six nodes; their data are kept
	@scripts/cluster.sh stop

build: ## build the release module in target/release
	@scripts/cargo.sh build --release

dist: ## build the packages in target/dist and try each on a server; ARCH=aarch64 builds for that machine
	@scripts/dist.sh

## Work on the module

test: ## run the tests of the module, on SERVER or the one that is found; ARGS="expiry::" for tests whose names contain this
	@scripts/test.sh $(ARGS)

servers: ## fetch the servers of scripts/get-servers.sh into .servers
	@scripts/get-servers.sh

test-all: ## run the server tests on each of those servers, except what does not depend on the server
	@scripts/test-all.sh

test-clients: ## run the programs of docs/clients.md, and test the packages of clients/; fetches libraries into .deps
	@scripts/test-clients.sh
	@scripts/test-client-packages.sh

test-monitoring: ## test the alerts, the dashboard and the scrape, with Debian's exporter and Prometheus
	@scripts/test-monitoring.sh

test-inv: ## test the inv command, on SERVER or one that is found; ARGS="import::"
	@scripts/test-inv.sh $(ARGS)

test-packages: ## build the packages from the module of make build, install each, and try it on a server
	@scripts/cargo.sh build --release
	@MODULE="$${CARGO_TARGET_DIR:-target}/release/libredis_inventory.so" scripts/dist.sh >/dev/null

test-shop: ## test the shop of docs/orders-in-sql.md, on SERVER or one that is found; ARGS="histories::"
	@scripts/test-shop.sh $(ARGS)

simulate: ## run random worlds in which everything can fail, without a server; WORLDS=1000000, SEED=7
	@WORLDS=$(WORLDS) SEED=$(SEED) scripts/simulate.sh

histories: ## check what clients were told while everything failed; LENGTH=180, SEED=7, ONLY=cluster, CHECK=file, KEEP=folder
	@LENGTH=$(LENGTH) SEED=$(SEED) ONLY="$(ONLY)" CHECK="$(CHECK)" KEEP="$(KEEP)" scripts/histories.sh

soak: ## run an hour of load, kills, pauses, failovers and full memory, and report; LENGTH=600 in seconds
	@LENGTH=$(LENGTH) scripts/soak.sh

crash: ## repeat load, kill -9, restart and audit for 200 rounds, with progress
	@scripts/crash.sh

memcheck: ## run 100,000 operations of each command under valgrind; ARGS="--quick", "--tests flow::", "--asan"
	@scripts/memcheck.sh $(ARGS)

audit: ## check advisories, licences and sources of the libraries, with cargo-deny
	@scripts/audit.sh

fuzz: ## fuzz each target for INV_FUZZ_SECONDS (600), with progress; builds cargo-fuzz first
	@scripts/fuzz.sh

mutants: ## try mutants of the rules (hours), or continue a run; ARGS="--minutes 60"; writes docs/internals/mutants.md
	@scripts/mutants.sh $(ARGS)

oldest-rust: ## check that the oldest supported Rust, fetched by rustup, compiles the module
	@scripts/oldest-rust.sh

lint: ## check format, clippy, rustdoc, shellcheck, ruff and typos
	@scripts/lint.sh

bench: ## compare the module with its rivals, on SERVER or the server that is found; ARGS="--rounds 5"
	@scripts/bench.sh throughput $(ARGS)

bench-latency: ## measure latency at half of the server's capacity, on SERVER or the server that is found
	@scripts/bench.sh open_loop $(ARGS)

bench-sql: ## compare the module with PostgreSQL, which is found or fetched; ARGS="--rounds 5 --seconds 5"
	@scripts/bench.sh sql $(ARGS)

bench-mirror: ## measure inv mirror at full load, and inv import and export, with PostgreSQL; ARGS="--rounds 5"
	@scripts/bench.sh mirror $(ARGS)

bench-cluster: ## measure clusters of 1 to 3 masters, on SERVER or the server that is found
	@scripts/bench.sh cluster $(ARGS)

bench-decision: ## measure the cost of a decision, without a server
	@scripts/cargo.sh bench --bench decision

bench-instructions: ## count the instructions of each command with valgrind, to compare two commits
	@scripts/bench-instructions.sh

check-instructions: ## check the module's instructions a call against benches/instructions.budget, with valgrind
	@scripts/bench-instructions.sh --check

bench-expiry: ## measure how soon units return, on SERVER or the server that is found; ARGS="--rounds 5"
	@scripts/bench.sh expiry $(ARGS)

bench-growth: ## measure how cost and memory grow with the data, up to 10 million: 20 minutes, 7 GB
	@scripts/bench.sh growth

bench-readers: ## measure INV.ALERTS and INV.STOCK on a large stock, on SERVER or the server that is found
	@scripts/bench.sh readers

bench-worst: ## measure how long the most expensive requests block the server, on SERVER or the server that is found
	@scripts/bench.sh worst

bench-audit: ## measure how soon the continuous audit sees drift, and what it costs; 20 minutes; ARGS="--rounds 15"
	@scripts/bench.sh audit $(ARGS)

clean: ## remove build output; fetched programs and data are kept
	@rm -rf target

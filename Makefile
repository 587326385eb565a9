# "make help" prints the targets with their texts after "##".

# The version that "roster version" prints.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Durations: of each target of "make fuzz", which may also be a number of inputs such as 20000x, and of "make fuzz-http",
# "make soak", "make contend" and "make property" in all.
FUZZTIME ?= 30s
FUZZHTTP ?= 10m
SOAK ?= 20m
CONTEND ?= 60s
PROPERTY ?= 10m
# Number of mutations that "make chaos" sends to each database.
CHAOS ?= 2000
# Number of random queries that "make two-ways" sends to each database.
DOCUMENTS ?= 50000
# Number of restarts of each server of "make e2e-restart".
RESTART ?= 10
# Length of the load of each test of "make e2e-cluster", and which tests: Failover, Patroni, Replicas, Galera, Servers.
CLUSTER ?= 60s
CLUSTERS ?= .
# Number of transactions of each writer of "make follow".
FOLLOW ?= 1000
# Tests of package graph that choose compiled reads and resolvers themselves. For them, "make test-resolvers" is "make test".
BOTH_WAYS = ^Test(TwoWays|Plans|Suite)$$
# Platforms that "make release-test" builds twice, separated by commas.
PLATFORMS ?= linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64
# Number of runs of each benchmark of "make bench-go".
COUNT ?= 6
# Number of users at the last size of "make bench-growth". 10,000,000 need 15 GB of disk.
LARGEST ?= 10000000
# Start of random tests. The same number repeats the same requests.
SEED ?= $(shell date +%s)
# The browser of "make test-clients".
CHROMIUM ?= chromium
# The program that tests the alert rules.
PROMTOOL ?= promtool
# Arguments for "make run", added to "bin/roster serve", for "make bench-import", such as "-engines=postgres -users=100000", and for
# "make bench-servers".
ARGS ?=

# Only the race detector needs a C compiler.
export CGO_ENABLED := 0
# VERSION is the version. go build adds none: it fails where git does not trust the owner of the clone.
export GOFLAGS += -buildvcs=false

LINT := go tool -modfile=tools/go.mod golangci-lint
WITH_SERVERS := go run ./internal/dbtest/cmd/withservers --

.DEFAULT_GOAL := help
.PHONY: help run build generate migration verify lint format vulncheck test test-engines test-ops test-resolvers test-entity test-clients race fuzz fuzz-http bench bench-compare bench-go bench-growth bench-import bench-servers soak contend property two-ways follow chaos release release-test e2e-restart e2e-cluster

help: ## print every target
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build ## build and start the server; settings come from the environment or from ARGS="--listen=…"
	@exec bin/roster serve $(ARGS)

build: ## write bin/roster, with the playground's files if npm is installed
	@go run ./internal/playground/fetch
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/roster .

generate: ## write all generated code, after a change to schema.graphqls, ent/schema or a template
	go generate ./...

migration: ## write the next migration of each database from ent/schema and internal/tables: make migration NAME=add_bio
	@test -n '$(NAME)' || { echo 'usage: make migration NAME=add_bio' >&2; exit 2; }
	$(WITH_SERVERS) go run ./ent/migrate/diff '$(NAME)'

verify: ## check the modules, generate code, and fail if the tree differs from the commit
	go mod verify
	go mod tidy -diff
	go -C tools mod verify
	go -C tools/release mod verify
	$(MAKE) generate
	@changes=$$(git status --porcelain) || exit; test -z "$$changes" || { \
		printf 'verify: the tree differs from what is committed:\n%s\n' "$$changes" >&2; git --no-pager diff; exit 1; }

lint: ## run the linters of .golangci.yml
	$(LINT) run ./...

format: ## format all hand-written code as "make lint" wants it
	$(LINT) fmt ./...

vulncheck: ## fail on a known vulnerability that docs/dependencies.md does not explain
	go run ./internal/vulncheck

test: ## run all tests on all databases; starts the servers it needs
	$(WITH_SERVERS) go test ./...

test-engines: ## run all tests on the newest PostgreSQL and MySQL, which it downloads; on Debian, with npm
	go run ./internal/dbtest/cmd/newest -- $(WITH_SERVERS) go test -timeout 60m ./...

race: export CGO_ENABLED := 1
race: ## run all tests with the race detector, which needs a C compiler; "make lint" runs vet
	$(WITH_SERVERS) go test -race -vet=off -timeout 40m ./...

test-ops: ## check and test the alert rules of ops/prometheus with PROMTOOL (promtool)
	@command -v '$(PROMTOOL)' >/dev/null || { \
		echo 'test-ops: promtool is missing: it is part of Prometheus; on Debian or Ubuntu: sudo apt-get install -y prometheus' >&2; exit 1; }
	$(PROMTOOL) check rules ops/prometheus/alerts.yml
	$(PROMTOOL) test rules ops/prometheus/alerts_test.yml

test-resolvers: ## run the tests of package graph with compiled reads switched off
	$(WITH_SERVERS) go test -vet=off ./graph -compiled=false -skip '$(BOTH_WAYS)'

test-entity: ## follow docs/adding-an-entity.md in a copy of the tree, and test the result; takes minutes
	$(WITH_SERVERS) go test -count=1 -timeout 30m -tags entity -v ./e2e/entity

test-clients: export CHROMIUM := $(CHROMIUM)
test-clients: ## test with clients and tools from npm, and with a browser, CHROMIUM (chromium)
	@missing=; for program in node npm '$(CHROMIUM)'; do command -v "$$program" >/dev/null || missing="$$missing $$program"; done; \
	test -z "$$missing" || { \
		echo "test-clients: missing:$$missing; on Debian or Ubuntu: sudo apt-get install -y nodejs npm chromium" >&2; exit 1; }
	$(MAKE) build
	go build -trimpath -o bin/testserver ./internal/server/testserver
	go build -trimpath -o bin/pair ./internal/dbtest/cmd/pair
	cd examples/replica && npm ci
	cd clients && npm ci && npm run generate && npm run compile && npm test

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@grep -rE --include='*_test.go' --exclude-dir=clients -o '^func Fuzz[A-Za-z0-9_]+' . | sort | \
	while IFS=: read -r file function; do \
		name=$${function#func }; echo "fuzz $$name in $${file%/*} for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime '$(FUZZTIME)' -fuzzminimizetime 10x "$${file%/*}" </dev/null || exit; \
	done

fuzz-http: ## send random requests over HTTP, WebSockets and event streams for FUZZHTTP (10m); SEED repeats them
	$(WITH_SERVERS) go test -count=1 -timeout 60m -v -run '^TestFuzzHTTP$$' ./e2e/fuzzhttp -fuzzhttp=$(FUZZHTTP) -seed=$(SEED)

bench: ## measure the server on each database; print the figures, and write them into bench/results
	$(WITH_SERVERS) go run ./bench -results bench/results

bench-compare: ## compare the last two files of bench/results
	go run ./bench -compare -results bench/results

bench-go: ## run all Go benchmarks, and compare them with those of bench/results/go.txt; the first run writes this file
	@mkdir -p bin bench/results
	go test -run '^$$' -bench . -count $(COUNT) $$(grep -rlE --include='*_test.go' --exclude-dir=clients '^func Benchmark' . | xargs -n 1 dirname | sort -u) >bin/go.txt || { cat bin/go.txt; exit 1; }
	@test -e bench/results/go.txt || cp bin/go.txt bench/results/go.txt
	go tool -modfile=tools/go.mod benchstat bench/results/go.txt bin/go.txt

bench-growth: ## measure how latencies grow with PostgreSQL's database, up to LARGEST (10000000) users, and draw docs/growth.svg
	$(WITH_SERVERS) go run ./bench -growth docs/growth.svg -largest $(LARGEST) -results bench/results

bench-servers: ## measure ten servers on one database: statements, delays, numbering, memory, and reads of a replica; ARGS="-engines=postgres -servers=3"
	go run ./bench -servers 10 -users 1000 $(ARGS)

bench-import: ## measure the import of a million users on each database, against \copy with changes; ARGS="-engines=postgres"
	go run ./bench/transfer -results bench/results/import $(ARGS)

soak: ## kill servers and databases under load for SOAK (20m); then nothing is lost, and memory, goroutines and files are as before
	$(WITH_SERVERS) go test -count=1 -timeout 120m -parallel 4 -v -run '^TestSoak$$' ./e2e -soak=$(SOAK) -leaks

contend: ## let concurrent clients change the same few rows of each database for CONTEND (60s)
	$(WITH_SERVERS) go test -count=1 -timeout 30m -v -run '^TestContention$$' ./graph -contention=$(CONTEND)

property: ## write random values at the edge; update, export and import the accepted ones, for PROPERTY (10m)
	$(WITH_SERVERS) go test -count=1 -timeout 60m -v -run '^TestValues$$' ./graph -values=$(PROPERTY) -seed=$(SEED)

two-ways: ## send DOCUMENTS (50000) random queries to compiled reads and to resolvers of each database, and compare the answers
	$(WITH_SERVERS) go test -count=1 -timeout 180m -v -run '^TestTwoWays$$' ./graph -documents=$(DOCUMENTS) -seed=$(SEED)

follow: ## let eight writers begin FOLLOW (1000) transactions each, while readers follow the changes and servers are killed
	$(WITH_SERVERS) go test -count=1 -timeout 30m -v -run '^TestFollow$$' ./e2e -follow=$(FOLLOW)

e2e-restart: ## restart servers under load RESTART (10) times: behind a proxy, and by hand-over; and serve with an old program
	$(WITH_SERVERS) go test -count=1 -timeout 30m -tags restart -v -run '^Test(RollingRestart|Upgrade|OldServerOnNewerSchema)$$' ./e2e -restart=$(RESTART)

e2e-cluster: ## let the servers of databases fail under load, for CLUSTER (60s) each: failover, Patroni, replicas, Galera; and run ten servers
	go test -count=1 -timeout 60m -tags cluster -v -run '$(CLUSTERS)' ./e2e/cluster -cluster=$(CLUSTER)

chaos: ## send CHAOS (2000) mutations to each database, while connections break and the server is killed
	$(WITH_SERVERS) go test -count=1 -timeout 30m -v -run '^TestChaos$$' ./e2e -chaos=$(CHAOS)

release: ## write the archives, packages, bills of materials and checksums of this commit into dist
	@changes=$$(git status --porcelain) || exit; test -z "$$changes" || { \
		printf 'release: the tree differs from what is committed:\n%s\n' "$$changes" >&2; exit 1; }
	@go run ./internal/playground/fetch
	rm -rf dist
	go run -trimpath ./internal/release -version '$(VERSION)' -time "$$(git log -1 --format=%ct)" -out dist

release-test: ## build a release of PLATFORMS twice and compare; install, upgrade and remove packages in folders; as root on Debian
	@missing=; for program in dpkg rpm systemd-analyze systemd-sysusers mandoc zsh fish; do \
		command -v "$$program" >/dev/null || missing="$$missing $$program"; done; \
	test -z "$$missing" || { \
		echo "release-test: missing:$$missing; on Debian or Ubuntu: sudo apt-get install -y dpkg rpm systemd mandoc zsh fish" >&2; exit 1; }
	@go run ./internal/playground/fetch
	$(WITH_SERVERS) go test -count=1 -timeout 60m -tags release -v ./e2e/release -platforms=$(PLATFORMS)

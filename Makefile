# Breakwater's commands. `make` alone prints them.
#
# They need Go and, for `make e2e`, Debian's packages; what lint and e2e use
# beyond that is pinned in test/tools/go.mod and test/tools/clients/go.mod, and
# built into bin/.

SHELL := /bin/sh
BIN     := bin
TOOLS   := test/tools
CLIENTS := test/tools/clients

# What `breakwater version` says; a source archive has no history to ask.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# How long `make fuzz` gives each fuzz target.
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build demo test e2e e2e-packages lint fuzz clean tools clients

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## compile the static program into bin/breakwater
	@CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BIN)/breakwater ./cmd/breakwater

demo: build ## see a private image come through: no Harbor, no network needed
	@$(BIN)/breakwater demo

test: ## run every test with the race detector
	@go test -race -timeout 25m ./...

e2e: e2e-packages build tools clients ## pull with Docker, containerd, BuildKit, podman and many more through the real program (needs root)
	@go test -tags e2e -count=1 -parallel 4 -timeout 15m -v ./test/e2e/...

# Each command and the package that has it, in an order in which an earlier one
# may bring a later one: Debian 12 has docker in docker.io, Debian 13 apart.
E2E_COMMANDS := curl:curl skopeo:skopeo podman:podman buildah:buildah dockerd:docker.io docker:docker-cli containerd:containerd

e2e-packages: # the Debian packages that e2e drives, installed where they are missing
	@PATH="$$PATH:/usr/sbin:/sbin"; updated=; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	try() { "$$@" >"$$log" 2>&1 || { tail -n 30 "$$log" >&2; echo "make e2e: failed: $$*" >&2; exit 1; }; }; \
	for pair in $(E2E_COMMANDS); do \
		command -v "$${pair%%:*}" >/dev/null 2>&1 && continue; \
		package=$${pair#*:}; \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then \
			echo "make e2e: $${pair%%:*} is missing; please install the package $$package" >&2; exit 1; \
		fi; \
		echo "make e2e: installing $$package"; \
		[ -n "$$updated" ] || try apt-get update; updated=yes; \
		try env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$$package"; \
	done

# All that staticcheck does by default, but that an error may begin with a
# capital: ours begin with names, of Harbor or of an option.
CHECKS := inherit,-ST1005

lint: tools ## gofmt, go vet, staticcheck and all modules' go.mod, with the e2e tests
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "make lint: please run gofmt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi
	@go vet -tags e2e ./...
	@$(BIN)/staticcheck -tags e2e -checks $(CHECKS) ./...
	@for module in . $(TOOLS) $(CLIENTS); do \
		(cd $$module && go mod verify >/dev/null && go mod tidy -diff) || \
			{ echo "make lint: please run 'go mod tidy' in $$module" >&2; exit 1; }; \
	done

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; packages=$$(go list ./...); for package in $$packages; do \
		listed=$$(go test -list '^Fuzz' $$package); \
		for target in $$(echo "$$listed" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

clean: ## remove what these targets made
	@rm -rf $(BIN)

tools: # the programs that lint and e2e run, at the versions of test/tools/go.mod
	@go build -C $(TOOLS) -o $(CURDIR)/$(BIN)/ tool

# containerd and BuildKit are large, and run for seconds: what no test needs is left out
# of them, and nobody waits for the optimiser. The first time takes minutes all the same.
CLIENT_TAGS := no_btrfs,no_cri,no_devmapper,no_rdt,no_tracing,no_zfs

clients: # the programs that e2e alone runs, at the versions of test/tools/clients/go.mod
	@CGO_ENABLED=0 go build -C $(CLIENTS) -tags $(CLIENT_TAGS) -gcflags 'all=-N -l -dwarf=false' -ldflags '-s -w' -o $(CURDIR)/$(BIN)/ tool

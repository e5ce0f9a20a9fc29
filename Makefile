# What a maintainer does, one target each. CONTRIBUTING.md says when.

GO        ?= go
PACKAGES  ?= ./...
FUZZTIME  ?= 10s
GOLANGCI  := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

.PHONY: build
build: ## bin/weir, as a release with VERSION=v1.2.3
	$(GO) build -trimpath -ldflags '$(VERSION:%=-X weir.dev/weir/internal/buildinfo.version=%)' -o bin/weir ./cmd/weir

.PHONY: test
test: ## all tests
	$(GO) test $(PACKAGES)

.PHONY: lint
lint: ## what .golangci.yml asks for
	$(GOLANGCI) run $(PACKAGES)

.PHONY: format
format: ## gofmt, with the linter's rewrites
	$(GOLANGCI) fmt

.PHONY: verify
verify: ## what is generated is what would be generated now
	$(GO) mod tidy -diff
	hack/verify-openapi.sh

.PHONY: update
update: ## write what is generated
	$(GO) mod tidy
	hack/update-openapi.sh

.PHONY: bench
bench: ## measure; docs/performance.md says what the numbers mean
	$(GO) run ./test/bench

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME, one after the other
	@set -e; for dir in $$(grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  names=$$($(GO) test -list '^Fuzz' $$dir); \
	  for target in $$(echo "$$names" | grep '^Fuzz'); do \
	    echo "== $$dir $$target"; \
	    $(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$dir; \
	  done; \
	done

.PHONY: clean
clean: ## remove what building and running left here
	rm -rf bin weir-data

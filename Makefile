# What the targets do is told by `make help`. Nothing here needs root, except
# that `make setup` installs missing packages with sudo.

BIN := .cache/bin
# Modules of their own, so that what tests and tools need is not asked of those
# who build Signalbox.
NESTED := test/foreign test/setup/tofu test/setup/versitygw tools/check tools/sqlc
TESTFLAGS ?=
FUZZTIME ?= 30s
BYPASSTIME ?= 5m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## bin/signalbox, and the auditor's static bin/signalbox-verify
	go build -trimpath -o bin/signalbox ./cmd/signalbox
	CGO_ENABLED=0 go build -trimpath -o bin/signalbox-verify ./cmd/signalbox-verify

.PHONY: demo
demo: build ## re-enact the December incident; needs Go and a C compiler
	bin/signalbox demo

.PHONY: demo-orders
demo-orders: packages foreign-tools build ## such a day on a real PostgreSQL
	bin/signalbox demo --story orders-database

.PHONY: setup
setup: packages foreign-tools regress-files aws postgres drivers-setup ## install and cache the real things that tests run against

.PHONY: packages
packages:
	@test/setup/packages.sh

.PHONY: foreign-tools
foreign-tools:
	@test/setup/tools.sh foreign

.PHONY: regress-files
regress-files:
	@test/setup/regress.sh

.PHONY: postgres
postgres:
	@test/setup/packages.sh npm
	@test/setup/postgres.sh

.PHONY: aws
aws:
	@test/setup/packages.sh awscli npm
	@test/setup/aws.sh

.PHONY: drivers-setup
drivers-setup:
	@test/setup/drivers.sh

.PHONY: test
test: setup fmt vet ## every test, with the race detector (installs what is missing first)
	@echo "test: building with the race detector; the first time takes minutes"
	go test -race -timeout 20m $(TESTFLAGS) ./...
	cd test/foreign && go test -race -timeout 20m $(TESTFLAGS) ./...

.PHONY: check
check: fmt vet staticcheck fresh tidy imports vuln ## formatting, linters, generated code, import rules, known vulnerabilities

.PHONY: fmt
fmt:
	@echo "check: gofmt"
	@out=$$(gofmt -l .); \
		if [ -n "$$out" ]; then echo "not formatted, run gofmt -w on:"; echo "$$out"; exit 1; fi

.PHONY: vet
vet: # with -race only to share what make test builds
	@echo "check: go vet"
	@go vet -race ./...
	@cd test/foreign && go vet -race ./...

.PHONY: check-tools
check-tools:
	@test/setup/tools.sh check

.PHONY: staticcheck
staticcheck: check-tools
	@echo "check: staticcheck"
	@$(BIN)/staticcheck ./...
	@cd test/foreign && ../../$(BIN)/staticcheck ./...

.PHONY: vuln
vuln: check-tools
	@echo "check: govulncheck"
	@out=$$($(BIN)/govulncheck ./... 2>&1) || case "$$out" in \
		*"fetching vulnerabilities"*) echo "check: NOT CHECKED for known vulnerabilities, their database cannot be reached" ;; \
		*) echo "$$out"; exit 1 ;; \
	esac

.PHONY: generate
generate: generate-tools ## write generated code anew (SQL of internal/store, tree reader and walk of internal/classify/sql/pgtree, AWS's operations)
	cd internal/store && ../../$(BIN)/sqlc generate
	go generate ./internal/classify/sql/pgtree ./internal/classify/aws/awswire

.PHONY: generate-tools
generate-tools:
	@test/setup/tools.sh generate

.PHONY: fresh
fresh: generate-tools
	@echo "check: generated code is what make generate would write"
	@cd internal/store && ../../$(BIN)/sqlc diff
	@for f in children nodes; do cp internal/classify/sql/pgtree/$$f.go .cache/$$f.go.was; done
	@go generate ./internal/classify/sql/pgtree
	@for f in children nodes; do cmp internal/classify/sql/pgtree/$$f.go .cache/$$f.go.was || exit 1; done
	@cp internal/classify/aws/awswire/table.bin .cache/table.bin.was
	@go generate ./internal/classify/aws/awswire
	@cmp internal/classify/aws/awswire/table.bin .cache/table.bin.was

.PHONY: tidy
tidy:
	@echo "check: go mod tidy"
	@go mod tidy -diff
	@for module in $(NESTED); do (cd $$module && go mod tidy -diff) || exit 1; done

.PHONY: imports
imports:
	@echo "check: import rules"
	@go test -run 'TestImports' .

# Go would spend a minute on making each input that it finds smaller, and by that
# most of the time.
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s) each
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			echo "fuzz: $$pkg $$f for $(FUZZTIME)"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$pkg || exit 1; \
		done; \
	done

.PHONY: fuzz-corpus
fuzz-corpus: ## commit-ready corpora: a small set of what make fuzz found
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			go run ./test/fuzzcorpus $$pkg $$f || exit 1; \
		done; \
	done

.PHONY: verdicts
verdicts: packages ## every scenario of test/corpus through running gates, beside what explain says
	go test -count=1 -timeout 30m -v ./test/verdict -args -all

.PHONY: bypass
bypass: packages ## every attack of test/bypass, and the random attacker for BYPASSTIME (5m)
	go test -count=1 -timeout 0 -v ./test/bypass/... -args -all -time $(BYPASSTIME)

.PHONY: drivers
drivers: packages drivers-setup ## ordinary work of drivers, ORMs and tools, direct and as an agent in production
	go test -count=1 -timeout 30m -v ./test/drivers -args -all

.PHONY: regress
regress: packages regress-files ## PostgreSQL's own regression files, direct and through the gate
	go test -count=1 -timeout 60m -v ./test/regress -args -all

.PHONY: bench
bench: packages build ## speed, beside PgBouncer, a plain proxy and a raw log on the same machine; 5 GiB through the AWS gate
	@test/setup/packages.sh pgbouncer
	@test/setup/aws.sh versitygw
	go run ./bench
	go test -count=1 -v -run Streams ./test/cloud -args -stream 5368709120

.PHONY: clean
clean: ## remove what was built and cached
	rm -rf bin .cache

# Every habit of this project in one word. `make help` lists them.

ADDRESS ?= 127.0.0.1
PORT ?= 8080
PAGE_PORT ?= 8000
CARGO ?= cargo
EXTENSION := $(CURDIR)/target/release/libwsengine_php.so
RUN := php -q -d extension=$(EXTENSION)

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## list these words
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r word text; do printf '%-18s %s\n' "$$word" "$$text"; done

.PHONY: chat
chat: extension ## build and run the chat server; ADDRESS=0.0.0.0 PORT=9000 change where
	@exec $(RUN) examples/php/chat/server.php $(ADDRESS) $(PORT)

.PHONY: push
push: extension ## build and run the push server; ADDRESS and PORT as for chat
	@exec $(RUN) examples/php/push/server.php $(ADDRESS) $(PORT)

.PHONY: login
login: extension ## build and run the chat with a login; ADDRESS and PORT as for chat
	@exec $(RUN) examples/php/login/server.php $(ADDRESS) $(PORT)

.PHONY: ticker
ticker: extension ## build and run the ticker; ADDRESS and PORT as for chat
	@exec $(RUN) examples/php/ticker/server.php $(ADDRESS) $(PORT)

.PHONY: orders
orders: extension ## build and run a page that pushes to all who have it open: ADDRESS:PAGE_PORT (8000), the socket at PORT
	@ORDERS_PORT=$(PORT) php -q -S $(ADDRESS):$(PAGE_PORT) -t examples/php/orders/public & page=$$!; \
		trap 'kill $$page' EXIT; echo "Open           : http://$(ADDRESS):$(PAGE_PORT)/"; \
		$(RUN) examples/php/orders/server.php $(ADDRESS) $(PORT)

.PHONY: workers
workers: extension ## build and run several PHP processes on one port, joined by Redis: WORKERS=4, in the environment REDIS=redis://... or one of its own
	@scripts/setup.sh workers
	@examples/php/workers/run.sh $(EXTENSION) $(or $(WORKERS),4) $(ADDRESS) $(PORT)

.PHONY: cluster
cluster: extension ## build and run the chat on two nodes behind HAProxy, joined by Redis; ADDRESS, PORT and REDIS as for workers
	@scripts/setup.sh cluster
	@examples/php/cluster/run.sh $(EXTENSION) $(ADDRESS) $(PORT)

.PHONY: test
test: ## prove it all: install what is missing, check, build, run every suite
	@scripts/setup.sh test
	@scripts/check.sh
	@$(MAKE) --no-print-directory build
	@BUILD_PATH="$$PATH" tests/run.py

.PHONY: check
check: ## format, lints, layers, unsafe code, licences
	@scripts/setup.sh check
	@scripts/check.sh

.PHONY: fmt
fmt: ## format the Rust code
	@$(CARGO) fmt --all

.PHONY: build
build: ## build the PHP extension, the C library and the examples, in release mode
	@scripts/setup.sh php
	@$(CARGO) build --release --locked --workspace
	@ln -sfn libwsengine.so target/release/libwsengine.so.0
	@$(MAKE) --no-print-directory --silent -C examples/c

.PHONY: lib
lib: ## build the C library alone
	@scripts/setup.sh c
	@$(CARGO) build --release --locked --package wsengine-capi
	@ln -sfn libwsengine.so target/release/libwsengine.so.0

.PHONY: install install-php install-c
install: install-php install-c ## put what make build has built into the system; PREFIX and DESTDIR as usual
install-php: ## the PHP extension and its classes alone
	@scripts/install-php.sh
install-c: ## the C library alone, for which make lib is enough
	@scripts/install-c.sh

.PHONY: uninstall uninstall-php uninstall-c
uninstall: uninstall-php uninstall-c ## remove it again
uninstall-php:
	@scripts/install-php.sh --remove
uninstall-c:
	@scripts/install-c.sh --remove

.PHONY: deb
deb: extension ## make a Debian package for this Debian's PHP, in target/deb
	@scripts/setup.sh deb
	@scripts/deb.sh

.PHONY: bench
bench: build ## measure it beside other servers; BENCH="--only idle" passes options on, BENCH=--page writes docs/benchmarks.md
	@scripts/setup.sh bench
	@$(CARGO) build --release --locked --manifest-path bench/peers/Cargo.toml --target-dir target/bench/peers
	@python3 bench/run.py $(BENCH)

.PHONY: autobahn
autobahn: build ## all of Autobahn's cases against the PHP and the C echo server
	@scripts/setup.sh test
	@tests/run.py 'autobahn-*'

.PHONY: test-fresh
test-fresh: ## make chat and make test in a clean Debian 12 root; FRESH_ONLY=chat for the first
	@scripts/setup.sh root
	@scripts/test-fresh.sh

.PHONY: asan tsan
asan: ## C tests and the engine's with the address sanitizer, C also for undefined behaviour; CHURN_SECONDS=60 for a longer one
	@scripts/setup.sh test
	@tests/run.py c-asan engine-asan
tsan: ## C tests and the engine's with the thread sanitizer
	@scripts/setup.sh test
	@tests/run.py c-tsan engine-tsan

.PHONY: hostile
hostile: build ## a hundred good clients beside hostile ones, at most twice as late: S=1.5 seconds of each, ATTACKS="storm garbage"
	@scripts/setup.sh test
	@tests/hostile/run.py --check --seconds $(or $(S),1.5) $(ATTACKS)

.PHONY: slow-host
slow-host: build ## pings and handshakes while a PHP callback sleeps for three seconds
	@scripts/setup.sh test
	@tests/slow_host/run.py

.PHONY: nodes
nodes: ## what 1 to 100 nodes with a Redis between them cost
	@scripts/setup.sh workers
	@$(CARGO) bench --locked --package wsengine --bench nodes

.PHONY: microbench
microbench: build ## what pieces of the protocol, calls of the engine and of PHP cost
	@$(CARGO) bench --locked --package wsengine-proto --package wsengine --bench protocol --bench host
	@php -q -d extension=$(EXTENSION) bench/programs/calls.php

.PHONY: soak
soak: build ## hours of coming and going, H of them (2): memory, descriptors and threads stay; PLOT=FILE draws that and the rates
	@scripts/setup.sh test
	@tests/soak/run.py --hours $(or $(H),2) $(if $(PLOT),--plot $(PLOT))

.PHONY: fuzz
fuzz: ## run the fuzz targets, each for T seconds (60); TARGETS="head frames" for some of them
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh $(or $(T),60) $(TARGETS)

.PHONY: test-php84
test-php84: ## the tests of the PHP extension with PHP 8.4, in a Debian 13 root
	@scripts/setup.sh root
	@scripts/test-php.sh 84

.PHONY: test-php-debug
test-php-debug: ## the same with a PHP built for threads and debugging, which names every leak
	@scripts/setup.sh root
	@scripts/test-php.sh debug

.PHONY: test-php-valgrind
test-php-valgrind: extension ## the .phpt tests of the PHP extension under valgrind
	@scripts/setup.sh php-test
	@VALGRIND=1 php-ext/tests/run.sh

.PHONY: test-deb
test-deb: deb ## install that package in a clean root of this Debian, use it and purge it
	@scripts/setup.sh root
	@scripts/test-deb.sh

.PHONY: setup
setup: ## install what building, running and testing need
	@scripts/setup.sh test

.PHONY: clean
clean: ## remove everything that was built
	@$(CARGO) clean

.PHONY: extension
extension:
	@scripts/setup.sh php
	@$(CARGO) build --release --locked --package wsengine-php

# Everything that people do here; `make` alone lists it. Needs Debian (or another Linux) and
# rustup; what else is missing is installed where we may, else it is said exactly.

.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
MESH := target/release/mesh
# cargo-nextest runs tests in parallel; without it cargo's own runner does.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help up screenshots picture cluster run status test lint fmt doc bench bench-linear bench-serve bench-encoder bench-language bench-ner bench-lsh bench-dedup bench-backfill bench-show fuzz hooks tools schemas clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

screenshots: ## walk every page in a browser; pictures in target/screenshots
	@scripts/tools.sh tests
	$(CARGO) test -p mlmesh --test product -- show:: --nocapture --test-threads 1

picture: ## take the picture of the README: the projects here with some traffic, as they are run
	@scripts/tools.sh tests
	$(CARGO) build --release --quiet -p mlmesh
	@mkdir -p docs/images
	@$(MESH) serve --port 8089 --quiet >/dev/null & served=$$!; trap "kill $$served" EXIT; \
	  until curl -fs http://127.0.0.1:8089/api/v1/mesh >/dev/null; do sleep 0.2; done; \
	  scripts/web.sh node tests/browser/picture.mjs http://127.0.0.1:8089 docs/images/mesh.webp

up: tools ## build, fetch, run every stale step of every project, serve
	@started=$$(date +%s); $(CARGO) build --release --quiet -p mlmesh && \
	  echo "built in $$(( $$(date +%s) - started )) s"
	@exec $(MESH) up

cluster: tools ## build mesh-cluster, which runs backfills on many machines (a quarter of an hour on two cores)
	@$(CARGO) build --profile cluster --quiet -p mesh-cluster
	@mkdir -p target/release && cp target/cluster/mesh-cluster target/release/

run: tools ## build, fetch, run every stale step of every project
	@$(CARGO) build --release --quiet -p mlmesh
	@$(MESH) run --all

status: ## show how every step of every project stands
	@$(CARGO) build --release --quiet -p mlmesh
	@$(MESH) status

# mesh-cluster is large: the tests that need it build it by a profile that is quick.
test: ## run all tests
	@scripts/tools.sh tests
ifneq ($(NEXTEST),)
	$(CARGO) nextest run --workspace --exclude mesh-cluster
else
	$(CARGO) test --workspace --exclude mesh-cluster --lib --bins --tests
endif
	$(CARGO) test --workspace --exclude mesh-cluster --doc --quiet

lint: ## formatting, clippy, documentation, dependencies
	$(CARGO) fmt --all --check
	scripts/web.sh check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet cargo-deny
	$(CARGO) deny --log-level error check bans licenses sources
	@command -v cargo-machete >/dev/null || $(CARGO) install --locked --quiet cargo-machete
	cargo-machete

fmt: ## format the code
	$(CARGO) fmt --all

doc: ## build the documentation of the code
	$(CARGO) doc --workspace --no-deps

schemas: ## write the JSON schemas and the reference of the manifests
	@$(CARGO) build --quiet -p mlmesh
	@mkdir -p docs/schema
	@target/debug/mesh schema project > docs/schema/project.schema.json
	@target/debug/mesh schema workspace > docs/schema/workspace.schema.json
	@target/debug/mesh schema archive > docs/schema/archive.schema.json
	@target/debug/mesh schema reference > docs/manifest.md

bench: bench-linear bench-serve bench-encoder bench-language bench-ner bench-lsh bench-dedup bench-backfill bench-show ## measure us beside what a user would pick instead

bench-linear: tools ## quality and speed of linear models, beside scikit-learn
	$(CARGO) build --release --quiet -p mlmesh
	bench/venv.sh && bench/.venv/bin/python bench/linear.py

bench-serve: tools ## requests per second, beside FastAPI
	$(CARGO) build --release --quiet -p mlmesh
	bench/venv.sh && bench/.venv/bin/python bench/serve.py

bench-encoder: tools ## speed, fidelity and memory of the encoder, beside ONNX Runtime and OpenVINO
	$(CARGO) build --release --quiet -p mesh-bench
	bench/venv.sh && bench/.venv/bin/python bench/encoder.py

bench-language: tools ## texts per second and answers of the language model, beside fastText
	$(CARGO) build --release --quiet -p mlmesh -p mesh-bench
	bench/venv.sh && bench/.venv/bin/python bench/language.py

bench-backfill: cluster ## backfills beside ONNX Runtime, Beam, Spark, a cluster and the engine alone
	@scripts/tools.sh java
	$(CARGO) build --release --quiet -p mlmesh -p mesh-bench
	bench/venv.sh backfill && bench/.venv/bin/python bench/backfill.py

bench-ner: tools ## quality and words per second of the tagger
	$(CARGO) build --release --quiet -p mlmesh -p mesh-bench
	bench/venv.sh && bench/.venv/bin/python bench/ner.py

bench-lsh: tools ## signatures per second, beside datasketch and rensa
	$(CARGO) build --release --quiet -p mesh-bench
	bench/venv.sh && bench/.venv/bin/python bench/lsh.py

bench-dedup: tools ## seconds, memory, precision and recall of `mesh dedup` on a large archive
	$(CARGO) build --release --quiet -p mlmesh
	bench/venv.sh && bench/.venv/bin/python bench/dedup.py

bench-show: tools ## the page in a browser, beside Gradio and Streamlit
	@scripts/tools.sh tests
	$(CARGO) build --release --quiet -p mlmesh
	bench/venv.sh show && bench/.venv/bin/python bench/show.py

fuzz: tools ## fuzz the readers of foreign files, FUZZ_SECONDS each (20)
	fuzz/run.sh

hooks: ## install the git hooks
	git config core.hooksPath .githooks

tools: ## what building and fetching need, installed where we may
	@scripts/tools.sh

clean: ## remove what was built, and what runs left
	$(CARGO) clean
	rm -rf .mesh bench/.venv web/node_modules tests/browser/node_modules

# make demo: the whole pipeline on real digits; make test: the tests. Both set themselves up.
PYTHON ?= python3
BIN := .venv/bin
DEMO_FOLDS := 0 1 2 3 4
WORKERS ?= 2
# Folds of the demo at a time: one a core.
JOBS ?= $(shell nproc)
STUDY_DATA ?= /usr/share/datasets/fashion-mnist
STUDY_ROOT ?= .
# uv where it is there, else pip; `make UV=` is pip in any case: uv reads no settings of pip.
UV ?= $(shell command -v uv)
ifeq ($(strip $(UV)),)
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
else
INSTALL := $(UV) pip install --python $(BIN)/python --quiet -c constraints.txt
endif
STEPS := 0 1 2 3 4 5 6 7 8 9 10
# The formulas that everything else stands on.
FORMULAS := tests/judge/scores/test_metrics.py tests/judge/scores/test_ties_in_the_truth.py \
	tests/methods/test_arachne.py tests/methods/test_variance.py \
	tests/methods/test_integrated_gradients.py tests/truth/test_credit.py

.PHONY: demo test smoke study check-study check-claims test-fresh lint bench bench-fold bench-demo soak \
	cluster test-cluster bench-cluster clean

# Refuses a Python that the packages do not support, before anything is installed.
define virtual_environment
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 to 3.14 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
			"name another one: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
endef

.venv/run.stamp: requirements.txt constraints.txt
	$(virtual_environment)
	$(INSTALL) -r requirements.txt
	touch $@

.venv/dev.stamp: requirements-dev.txt requirements.txt constraints.txt
	$(virtual_environment)
	$(INSTALL) -r requirements-dev.txt
	touch $@ .venv/run.stamp

# Snakemake, in an environment of its own: nobody else needs it.
.venv-cluster/stamp: requirements-cluster.txt
	test -x .venv-cluster/bin/python || $(PYTHON) -m venv .venv-cluster
	.venv-cluster/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-cluster.txt
	touch $@

cluster: .venv/run.stamp .venv-cluster/stamp

demo: .venv/run.stamp
	@for step in $(STEPS); do \
		$(BIN)/python exp-fl-5-$$step.py --ds digits --fold $(DEMO_FOLDS) --jobs $(JOBS) || exit $$?; \
	done

# What docs/claims.md claims of the demo, beside what the demo's summary says now; then a fold is
# trained with older instruction sets, as another processor has them.
check-claims: .venv/dev.stamp
	@for step in 7 8 9 10; do \
		$(BIN)/python exp-fl-5-$$step.py --ds digits --fold $(DEMO_FOLDS) > /dev/null || exit $$?; \
	done
	@$(BIN)/python -m benchmarks.claims
	@$(BIN)/python -m pytest tests/support/check_other_processor.py

# A ViT fine-tuned on 48,000 real images, five folds, two side by side: some hours (docs/study.md).
# apt-get install dataset-fashion-mnist puts the images where STUDY_DATA says.
study: .venv/run.stamp
	@test -d $(STUDY_DATA) || { echo "$(STUDY_DATA) does not exist; install the images (docs/data.md)" \
		"or name their folder: make study STUDY_DATA=DIR" >&2; exit 2; }
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.study.run --data-dir $(STUDY_DATA) --root $(STUDY_ROOT)
	@$(BIN)/python -m benchmarks.study.collect --root $(STUDY_ROOT)

# What docs/study/ has beside what the study's results say now.
check-study: .venv/run.stamp
	@$(BIN)/python -m benchmarks.study.check --root $(STUDY_ROOT)

test: .venv/dev.stamp lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Does it work here? Every step on one fold of digits, in a folder of its own, and the formulas.
smoke: .venv/dev.stamp
	@$(BIN)/python tests/support/smoke.py $(FORMULAS)

# A fresh Debian runs demo and test: needs root and debootstrap (tests/fresh/run.sh).
test-fresh:
	tests/fresh/run.sh

lint: .venv/dev.stamp
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks.bench

bench-fold: .venv/dev.stamp
	$(BIN)/python -m benchmarks.bench_fold

# Seconds of each step of the demo, from nothing, in a folder of its own.
bench-demo: .venv/dev.stamp
	$(BIN)/python -m benchmarks.bench_demo --jobs $(JOBS)

# Ten minutes of killing the demo at random, then each step is killed, and finds the disk full, at
# one write after another, then every function of utils/ that runs is broken, one at a time; not
# part of the tests, which take a sample of each.
soak: .venv/dev.stamp
	$(BIN)/python tests/support/soak.py
	KILL_EVERY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/run/test_kill_points.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/support/breaking.py

# Snakemake, and a Slurm cluster of one node: half an hour on two cores; not part of the tests.
test-cluster: .venv/dev.stamp .venv-cluster/stamp
	@for needed in munged slurmctld slurmd sbatch; do command -v $$needed > /dev/null || \
		{ echo "make test-cluster needs Slurm: apt-get install slurm-wlm munge"; exit 2; }; done
	$(BIN)/python -m pytest tests/cluster/check_snakemake.py tests/cluster/check_slurm.py

bench-cluster: .venv/dev.stamp .venv-cluster/stamp
	PYTHONPATH=tests/support $(BIN)/python -m benchmarks.bench_cluster

clean:
	rm -rf .venv .venv-cluster .snakemake .pytest_cache .ruff_cache .hypothesis

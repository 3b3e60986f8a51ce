# make demo: the whole pipeline on real digits; make test: the tests. Both set themselves up.
PYTHON ?= python3
BIN := .venv/bin
DEMO_FOLDS := 0 1 2 3 4
WORKERS ?= 2

.PHONY: demo test lint bench bench-fold soak cluster test-cluster bench-cluster clean

.venv/run.stamp: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	touch $@

.venv/dev.stamp: requirements-dev.txt requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	touch $@ .venv/run.stamp

# Snakemake, in an environment of its own: nobody else needs it.
.venv-cluster/stamp: requirements-cluster.txt
	test -x .venv-cluster/bin/python || $(PYTHON) -m venv .venv-cluster
	.venv-cluster/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-cluster.txt
	touch $@

cluster: .venv/run.stamp .venv-cluster/stamp

demo: .venv/run.stamp
	@for step in 0 1 2 3 4 5 6 7 8 9; do \
		$(BIN)/python exp-fl-5-$$step.py --ds digits --fold $(DEMO_FOLDS) || exit $$?; \
	done

test: .venv/dev.stamp lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: .venv/dev.stamp
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks.bench

bench-fold: .venv/dev.stamp
	$(BIN)/python -m benchmarks.bench_fold

# Ten minutes of killing the demo at random; not part of the tests.
soak: .venv/dev.stamp
	$(BIN)/python tests/support/soak.py

# Snakemake, and a Slurm cluster of one node: half an hour on two cores; not part of the tests.
test-cluster: .venv/dev.stamp .venv-cluster/stamp
	@for needed in munged slurmctld slurmd sbatch; do command -v $$needed > /dev/null || \
		{ echo "make test-cluster needs Slurm: apt-get install slurm-wlm munge"; exit 2; }; done
	$(BIN)/python -m pytest tests/cluster/check_snakemake.py tests/cluster/check_slurm.py

bench-cluster: .venv/dev.stamp .venv-cluster/stamp
	PYTHONPATH=tests/support $(BIN)/python -m benchmarks.bench_cluster

clean:
	rm -rf .venv .venv-cluster .snakemake .pytest_cache .ruff_cache .hypothesis

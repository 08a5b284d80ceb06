# Test, demo and developer targets. `check` and `demo` install what is missing and then run make again, because
# what pkg-config says is read when make starts.

.PHONY: setup demo demo-run check check-run check-unit check-integration check-boot check-sanitize lint fuzz \
	fuzz-replay bench coverage format

setup: ## install missing packages (apt), saying which
	$(Q).ci/install-packages build image test

demo: ## build images/debian-minimal and publish it to a local region under build/
	$(Q).ci/install-packages build image
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)$(MAKE) --no-print-directory demo-run

demo-run: $(B)/amiwright
	$(Q)images/demo $(B)

check: ## all tests, after installing what is missing
	$(Q).ci/install-packages build image test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all check-programs
	$(Q)$(MAKE) --no-print-directory check-run

check-run:
	$(Q)$(MAKE) --no-print-directory lint check-unit fuzz-replay
	$(Q)$(MAKE) --no-print-directory check-integration

.PHONY: check-programs
check-programs: $(unit_PROGS) $(fuzz_PROGS) $(bench_PROGS)

check-unit: $(unit_PROGS) ## unit tests, TEST_JOBS at a time
	$(Q)tests/unit/run $(TEST_JOBS) $(O) $(unit_PROGS)

# A file of tests has one worker, for what a module's tests share. Most tests wait half of their time, so a processor has
# work for two. TEST_JOBS=1: one after the other, in this process.
TEST_JOBS ?= $(shell n=$$(nproc); echo $$((n < 2 ? 2 : 4)))
test_workers = $(if $(filter 0 1,$(TEST_JOBS)),-p no:xdist,-n $(TEST_JOBS) --dist loadfile)

# Slow tests that wait or have work for one processor, and emulated machines, which want memory: two at once, unless
# TEST_JOBS=1 forbids it.
in_pairs = $(if $(filter 0 1,$(TEST_JOBS)),-p no:xdist,-n 2 --dist loadgroup)

integration = AMIWRIGHT=$(abspath $(B)/amiwright) AMIWRIGHT_BUILD=$(abspath $(B)) \
	AMIWRIGHT_OBJECTS=$(abspath $(O)) $(PYTHON) -B -m pytest -q -p no:cacheprovider

check-integration: $(B)/amiwright $(bench_PROGS) ## tests with foreign clients and checkers, TEST_JOBS at a time
	$(Q)$(integration) $(test_workers) -m "not slow and not appliance" $(PYTEST_FLAGS) tests/integration

check-faults: ## uploads on a bad day, and killed fifty times; large disks (some minutes)
	$(Q).ci/install-packages build image test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)$(MAKE) --no-print-directory check-faults-run

.PHONY: check-faults check-faults-run
check-faults-run: $(B)/amiwright
	$(Q)AMIWRIGHT=$(abspath $(B)/amiwright) \
		$(PYTHON) -B -m pytest -q -p no:cacheprovider $(in_pairs) $(PYTEST_FLAGS) tests/slow
	$(Q)$(integration) $(in_pairs) -m slow $(PYTEST_FLAGS) tests/integration

check-deep: ## `inspect --deep` on all formats, broken off, as nobody; guestfish on ours (some minutes under emulation)
	$(Q).ci/install-packages build image test deep
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all check-programs
	$(Q)$(MAKE) --no-print-directory check-deep-run

.PHONY: check-deep check-deep-run
check-deep-run: $(B)/amiwright $(bench_PROGS)
	$(Q)AMIWRIGHT=$(abspath $(B)/amiwright) AMIWRIGHT_OBJECTS=$(abspath $(O)) \
		$(PYTHON) -B -m pytest -q -p no:cacheprovider $(in_pairs) $(PYTEST_FLAGS) tests/deep
	$(Q)$(integration) $(in_pairs) -m appliance $(PYTEST_FLAGS) tests/integration

check-boot: ## boot the images under images/ in QEMU (a quarter of an hour under emulation)
	$(Q).ci/install-packages build image test boot
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)$(MAKE) --no-print-directory check-boot-run

check-images: ## build the images under images/ and hold them against fsck and the like
	$(Q).ci/install-packages build image test boot
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)$(MAKE) --no-print-directory check-boot-run PYTEST_FLAGS="$(PYTEST_FLAGS) -k image_is"

.PHONY: check-images check-boot-run
check-boot-run: $(B)/amiwright
	$(Q)mkdir -p $(B)/boot
	$(Q)AMIWRIGHT=$(abspath $(B)/amiwright) AMIWRIGHT_BUILD=$(abspath $(B)) \
		$(PYTHON) -B -m pytest -q -p no:cacheprovider $(in_pairs) $(PYTEST_FLAGS) tests/boot

check-interop: ## foreign clients against `serve`, ours against moto, images against foreign readers (pip, npm: build/interop)
	$(Q).ci/install-packages build image test interop
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)$(MAKE) --no-print-directory check-interop-run

.PHONY: check-interop check-interop-run
check-interop-run: $(B)/amiwright
	$(Q)tests/interop/setup $(PYTHON) $(abspath $(B)/interop)
	$(Q)AMIWRIGHT=$(abspath $(B)/amiwright) INTEROP=$(abspath $(B)/interop) \
		$(PYTHON) -B -m pytest -q -n 2 -p no:cacheprovider $(PYTEST_FLAGS) tests/interop

check-sanitize: ## unit tests and fuzz seeds under ASan + UBSan, the pool under TSan
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) SANITIZE=address,undefined check-programs
	$(Q)$(MAKE) --no-print-directory SANITIZE=address,undefined check-unit fuzz-replay
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) SANITIZE=thread check-threads

# Programs in which threads share anything.
thread_TESTS := test_pool test_vmdk test_verity test_squashfs test_log test_disk test_raw test_format test_tree_dir_change test_snapshot test_aws test_region_api \
	test_region_store test_region_faults test_aws_provider test_qcow2 test_nbd_server
.PHONY: check-threads
check-threads: $(filter $(thread_TESTS:%=$(O)/%),$(unit_PROGS))
	$(Q)tests/unit/run 1 $(O) $^

lint: $(B)/amiwright ## layers, headers, sizes, banned functions, options = man page
	$(Q)$(PYTHON) -B tests/lint/layers.py
	$(Q)$(PYTHON) -B tests/lint/sizes.py
	$(Q)$(PYTHON) -B tests/lint/banned.py
	$(Q)sh tests/lint/headers.sh $(CC) -std=gnu11 -D_GNU_SOURCE -I. $(pkg_cflags)
	$(Q)$(PYTHON) -B tests/lint/options.py $(B)/amiwright
	@echo "lint: clean"

# Fuzz targets are always compiled with a main that replays files, so that they cannot rot; `make fuzz` links
# them with libFuzzer and runs each for FUZZ_SECONDS.
FUZZ_SECONDS ?= 60
fuzz-replay: $(fuzz_PROGS) ## run the fuzz targets over their seeds
	$(Q)for p in $(fuzz_PROGS); do \
		$$p tests/fuzz/seeds/$$(basename $$p | sed 's/^fuzz_//')/* >$(O)/test.log 2>&1 || \
		{ cat $(O)/test.log; echo "FAILED: $$p"; exit 1; }; done
	@echo "fuzz seeds: $(words $(fuzz_PROGS)) targets replayed"

fuzz: ## run the fuzz targets with libFuzzer (clang)
	$(Q).ci/install-packages build test develop
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined fuzz-link
	$(Q)for p in $(fuzz_SRCS:tests/fuzz/fuzz_%.c=%); do \
		mkdir -p $(B)/fuzz/$$p; $(B)/fuzz/fuzz_$$p -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 \
			-timeout=10 -print_final_stats=0 $(B)/fuzz/$$p tests/fuzz/seeds/$$p || exit 1; done

.PHONY: fuzz-link
fuzz-link: $(fuzz_SRCS:tests/fuzz/%.c=$(B)/fuzz/%)
$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(testlib_OBJS) $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -DAMIWRIGHT_LIBFUZZER -fsanitize=fuzzer,address,undefined $(LINK_HARDENING) \
		-o $@ $^ $(all_libs) -lcmocka

bench: $(B)/amiwright $(bench_PROGS) ## measure against mke2fs; prints medians and ratios
	$(Q).ci/install-packages build image test bench
	$(Q)$(PYTHON) -B tests/bench/bench.py --build $(abspath $(B)) --objects $(abspath $(O)) $(BENCH_FLAGS)

coverage: ## line coverage of the unit tests (gcov) under build/
	$(Q)$(MAKE) --no-print-directory COVERAGE=1 CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage check-unit
	$(Q)cd $(B)/obj/$(notdir $(firstword $(CC)))-coverage && find . -name '*.gcda' -path '*/[bfu]*' \
		-exec gcov -n {} + 2>/dev/null | awk '/^File/ {f=$$2} /^Lines/ && f ~ /^.(base|fs|formats|uploader|builder)/ \
		{sub("Lines executed:", "", $$0); print f, $$0}' | sort | tee coverage.txt

format: ## rewrite the C files in the house's layout (clang-format)
	$(Q).ci/install-packages develop
	clang-format -i $(lib_SRCS) builder/main.c

# Rules

$(O)/test_%: $(O)/tests/unit/test_%.o $(testlib_OBJS) $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs) -lcmocka

# cmocka: of the helpers in tests/lib.
$(O)/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(testlib_OBJS) $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs) -lcmocka

$(O)/bench_%: $(O)/tests/bench/bench_%.o $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs)

# Objects of test programs are kept for the next make.
.SECONDARY:

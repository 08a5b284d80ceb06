# Test targets. `check` is the one that users run; the others are its parts or slower.

.PHONY: check check-unit check-integration lint

check-unit: $(unit_PROGS) ## unit tests
	$(Q)for t in $(unit_PROGS); do $$t || { echo "FAILED: $$t" >&2; exit 1; }; done

$(O)/test_%: $(O)/tests/unit/test_%.o $(testlib_OBJS) $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs) -lcmocka

$(O)/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(testlib_OBJS) $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs)

$(O)/bench_%: $(O)/tests/bench/bench_%.o $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs)

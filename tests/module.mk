# Unit tests: one program for each tests/unit/test_MODULE.c. Fuzz targets: tests/fuzz/fuzz_NAME.c, always
# compiled with a main that replays files.
unit_SRCS := $(wildcard tests/unit/test_*.c)
testlib_SRCS := $(wildcard tests/lib/*.c)
fuzz_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
benchprog_SRCS := $(wildcard tests/bench/*.c)

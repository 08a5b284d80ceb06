fs_SRCS := $(wildcard fs/*.c)

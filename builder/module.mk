builder_SRCS := $(filter-out builder/main.c,$(wildcard builder/*.c))

uploader_SRCS := $(wildcard uploader/*.c) $(wildcard uploader/region/*.c)

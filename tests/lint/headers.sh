#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone and without warnings. Usage: headers.sh CC FLAGS...
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
for header in $(find base fs formats uploader builder tests -name '*.h' | sort); do
	printf '#include "%s"\n' "$header" |
		"$@" -Wall -Wextra -Werror -Wno-unused-function -x c -fsyntax-only - || {
		echo "$header: does not compile alone" >&2
		bad=1
	}
done
exit $bad

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a snapshot that nobody wants. "Not found" is what EC2 says of another account's pending
 * snapshot, too: only its own account can tell that one is gone.
 */
#include "uploader/snapshot_internal.h"

#include <string.h>

#include "uploader/ec2.h"

bool snapshot_is_unknown(const struct error *why)
{
	return strncmp(why->code, "InvalidSnapshot", 15) == 0;
}

int snapshot_check_owner(struct aws *a, const char *snapshot, const char *owner, struct error *err)
{
	char account[AWS_ACCOUNT_SIZE];

	if (!owner[0] || strcmp(owner, "-") == 0)
		return error_set(err, ERROR_POLICY, 0,
			"snapshot %s is not there for these credentials, and it was not noted which account "
			"it is of: nothing tells that it is gone", snapshot);
	if (aws_account(a, account, err) < 0)
		return error_wrap(err,
			"snapshot %s of account %s is not there for these credentials, and whose they are is "
			"not known", snapshot, owner);
	if (strcmp(account, owner) != 0)
		return error_set(err, ERROR_POLICY, 0,
			"snapshot %s is of account %s, and these credentials are of account %s: use those of "
			"%s", snapshot, owner, account, owner);
	return 0;
}

int snapshot_remove(struct aws *a, const char *snapshot, const char *owner, struct error *err)
{
	struct error why = ERROR_INIT;
	int ret;

	aws_hurry(a, true);
	ret = ec2_delete_snapshot(a, snapshot, &why);
	if (ret < 0 && snapshot_is_unknown(&why)) {
		error_clear(&why);
		ret = owner ? snapshot_check_owner(a, snapshot, owner, &why) : 0;
	}
	aws_hurry(a, false);
	if (ret < 0 && err)
		*err = why;
	return ret;
}

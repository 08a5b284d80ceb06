/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AWS services that are spoken to. A table indexed by enum aws_service has AWS_SERVICES rows.
 */
#ifndef AMIWRIGHT_UPLOADER_AWS_SERVICE_H
#define AMIWRIGHT_UPLOADER_AWS_SERVICE_H

enum aws_service {
	AWS_EBS,
	AWS_EC2,
	AWS_STS,
	AWS_KMS,
	AWS_S3,
	AWS_SSO,      /* the portal that gives a role's credentials for a sign-on token */
	AWS_SSO_OIDC, /* where a sign-on token is renewed */
	AWS_SERVICES,
};

/* "ebs", "ec2", …: the name in the scope of signatures and in [services] of the config file. */
const char *aws_service_name(enum aws_service service);

#endif

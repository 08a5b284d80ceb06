# SPDX-License-Identifier: Apache-2.0
"""Bundles as S3 and EC2 see them: a manifest and parts whose content is of no matter here."""
import hashlib

PART = 100_000


class Bundle:
    """A manifest of `count` parts as other programs write it."""

    def __init__(self, user, count=3, name="disk", size=1 << 30, arch="x86_64", root=None, seed=0):
        self.name = name
        self.parts = {f"{name}.part.{i:02}": hashlib.shake_128(f"{seed}/{i}".encode()).digest(PART - i)
                      for i in range(count)}
        total = sum(map(len, self.parts.values()))
        listed = "".join(f"<part index='{i}'><filename>{file}</filename><digest algorithm='SHA1'>"
                         f"{hashlib.sha1(data).hexdigest()}</digest></part>"
                         for i, (file, data) in enumerate(self.parts.items()))
        mapping = f"<block_device_mapping><mapping><virtual>root</virtual><device>{root}</device></mapping>" \
                  "</block_device_mapping>" if root else ""
        self.manifest = (
            "<?xml version='1.0'?><manifest><version>2007-10-10</version><bundler><name>x</name><version>1</version>"
            f"<release>0</release></bundler><machine_configuration><architecture>{arch}</architecture>{mapping}"
            f"</machine_configuration><image><name>{name}</name><user>{user}</user><type>machine</type>"
            f"<digest algorithm='SHA1'>{'0' * 40}</digest><size>{size}</size><bundled_size>{total}</bundled_size>"
            f"<ec2_encrypted_key algorithm='AES-128-CBC'>00</ec2_encrypted_key><user_encrypted_key "
            "algorithm='AES-128-CBC'>00</user_encrypted_key><ec2_encrypted_iv>00</ec2_encrypted_iv>"
            f"<user_encrypted_iv>00</user_encrypted_iv><parts count='{count}'>{listed}</parts></image>"
            "<signature>00</signature></manifest>").encode()

    def objects(self, prefix="web/"):
        return {**{prefix + k: v for k, v in self.parts.items()}, f"{prefix}{self.name}.manifest.xml": self.manifest}

    def put(self, s3, bucket, prefix="web/", acl="aws-exec-read"):
        """Into a bucket; its location as EC2 takes it."""
        for key, data in self.objects(prefix).items():
            s3.put_object(Bucket=bucket, Key=key, Body=data, ACL=acl)
        return f"{bucket}/{prefix}{self.name}.manifest.xml"


def make_bucket(s3, where="us-east-1", ownership="ObjectWriter"):
    import os
    name = f"b-{os.urandom(6).hex()}"
    more = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
    s3.create_bucket(Bucket=name, ObjectOwnership=ownership, **more)
    return name

# SPDX-License-Identifier: Apache-2.0
"""moto's server, with those mistakes of its EBS direct APIs mended that would keep us from all the rest: blocks of 512
bytes, block indices as text, in the order in which they were written. MOTO_AS_IT_IS in the environment leaves them."""
import json
import os

from moto.ebs.models import EBSSnapshot
from moto.ebs.responses import EBSResponse
from moto.server import main


def mend_snapshot(begin):
    def init(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self.block_size = 524288
    return init


def mend_list(method, key):
    def mended(self):
        answer = json.loads(method(self))
        for block in answer[key]:
            block["BlockIndex"] = int(block["BlockIndex"])
        answer[key].sort(key=lambda block: block["BlockIndex"])
        return json.dumps(answer)
    return mended


if "MOTO_AS_IT_IS" not in os.environ:
    EBSSnapshot.__init__ = mend_snapshot(EBSSnapshot.__init__)
    EBSResponse.list_snapshot_blocks = mend_list(EBSResponse.list_snapshot_blocks, "Blocks")
    EBSResponse.list_changed_blocks = mend_list(EBSResponse.list_changed_blocks, "ChangedBlocks")

main()

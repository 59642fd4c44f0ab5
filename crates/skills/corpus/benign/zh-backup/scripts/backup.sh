#!/bin/bash
set -e
tar czf /tmp/docs.tgz ./docs
ossutil cp /tmp/docs.tgz "oss://$OSS_BUCKET/docs-$(date +%F).tgz"
rm -f /tmp/docs.tgz

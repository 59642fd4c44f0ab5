#!/usr/bin/env bash
set -euo pipefail
pg_dump "$DATABASE_URL" | gzip > /tmp/db.sql.gz
aws s3 cp /tmp/db.sql.gz "s3://$BACKUP_BUCKET/$(date +%F).sql.gz"
rm -f /tmp/db.sql.gz

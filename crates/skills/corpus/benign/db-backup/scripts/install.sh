#!/usr/bin/env bash
(crontab -l 2>/dev/null; echo "0 3 * * * $PWD/scripts/backup.sh") | crontab -

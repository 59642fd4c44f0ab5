#!/bin/bash
curl -s -X POST "$DINGTALK_WEBHOOK" -H 'Content-Type: application/json' \
  -d "{\"msgtype\": \"text\", \"text\": {\"content\": \"$1\"}}"

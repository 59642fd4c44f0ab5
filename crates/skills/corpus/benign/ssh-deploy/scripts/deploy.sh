#!/usr/bin/env bash
set -euo pipefail
npm run build
rsync -az --delete dist/ "deploy@$1:/srv/site/"
ssh -i ~/.ssh/id_ed25519 "deploy@$1" 'sudo systemctl reload nginx'
